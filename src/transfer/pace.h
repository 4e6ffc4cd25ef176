/*
 * pace.h
 *	  How fast requests and bytes go to one endpoint: a rate of each, the number
 *	  of requests at once that the service bears, and the pause it asked for.
 *	  Knows no clock: the caller says what time it is, in microseconds of any
 *	  clock that does not jump. Inner header of transfer/; plain C.
 */
#ifndef CLOUDSYNC_PACE_H
#define CLOUDSYNC_PACE_H

typedef struct CsPace
{
	double requests_per_second; /* 0: no limit */
	int64 bytes_per_second;		/* 0: no limit */
	int64 request_at;			/* when the next request may start */
	double bytes;				/* that may go now; below 0: too many went */
	int64 bytes_since;			/* time of that */
	int64 not_before;			/* the service asked for a pause until then */
	int limit;					/* requests at once; 0: no limit */
	int running;
	int successes; /* since limit last changed */
	int epoch;	   /* grows with each halving */
} CsPace;

/* What a request that was let go holds until cs_pace_end. */
typedef struct CsPaceTicket
{
	bool held;
	int epoch;
} CsPaceTicket;

extern void cs_pace_set(CsPace *pace, int64 bytes_per_second,
						double requests_per_second);
/*
 * May a request start now? 0: yes, and it counts from now on. Otherwise when to
 * ask again; PG_INT64_MAX: when another has ended.
 */
extern int64 cs_pace_start(CsPace *pace, CsPaceTicket *ticket, int64 now);
/*
 * It ended: overloaded if the service said that it is too much (429, 503), with
 * the pause it asked for in milliseconds (-1: none); success if it is well.
 */
extern void cs_pace_end(CsPace *pace, CsPaceTicket *ticket, int64 now,
						bool success, bool overloaded, int64 retry_after_ms);
/*
 * How many of wanted bytes may go now; they are taken as gone. 0: none until
 * *again.
 */
extern int64 cs_pace_bytes(CsPace *pace, int64 wanted, int64 now,
						   int64 *again);
/* So many went without being asked about: what comes next waits for them. */
extern void cs_pace_spent(CsPace *pace, int64 bytes, int64 now);
/* So many of them did not go after all. */
extern void cs_pace_give_back(CsPace *pace, int64 bytes);

#endif
