/*
 * http.h
 *	  Carries out HTTP requests (CS_REQ_HTTP) by libcurl, many at once, and
 *	  CS_REQ_HASH_BODY of the same transfers. Inner header of transfer/; usable
 *	  in the server and in plain programs.
 *
 * Two rules hold in http*.c. Nothing of curl's is called with a signal
 * unblocked: its resolver's threads inherit the mask, and the server's handlers
 * must not run in them. And nothing that curl calls back raises an error,
 * pallocs or calls anything of the owner's: callbacks copy between fixed
 * buffers and pause; buffers are filled and drained outside of curl, where a
 * body's functions may raise errors, so all that is under way hangs on its task
 * and ends with it.
 */
#ifndef CLOUDSYNC_TRANSFER_HTTP_H
#define CLOUDSYNC_TRANSFER_HTTP_H

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <signal.h>

#include "lib/ilist.h"

#include "cloudsync/checksum.h"
#include "cloudsync/hash.h"
#include "cloudsync/transfer.h"
#include "endpoint.h"
#include "pace.h"

#define CS_HTTP_HEADERS 100			 /* of an answer */
#define CS_HTTP_HEADER_BYTES 65536	 /* of all headers of an exchange */
#define CS_HTTP_BUFFER_MIN (64 * 1024) /* of a body on its way */
#define CS_HTTP_BUFFER_MAX (512 * 1024)
#define CS_HTTP_HELD "held"			 /* a limit that is no setting: held_ms */
#define CS_HTTP_TEXT_CUT (64 * 1024) /* of the text of a failure */

/* The settings, as they are at the moment. Strings are never NULL. */
typedef struct CsHttpSettings
{
	const char *allowed; /* cloudsync.allowed_endpoints */
	const char *ca_file;
	const char *proxy;
	int connect_timeout; /* ms */
	int response_timeout;
	int low_speed_time; /* 0: none */
	int transfer_timeout;
} CsHttpSettings;

typedef struct CsHttp CsHttp;
typedef struct CsHttpHandle CsHttpHandle;
typedef struct CsHttpTask CsHttpTask;

/* Scheme, host without brackets and port of a URL. */
typedef struct CsOrigin
{
	char *scheme;
	char *host;
	int port;
} CsOrigin;

/* What an endpoint over HTTP is (http_place.c). */
typedef struct CsHttpPlace
{
	CsService *service; /* or NULL */
	CsOrigin origin;	/* of the service; its scheme NULL: none */
	CsOrigin more[lengthof(((CsService *) 0)->more_urls)];
	char *purpose;
	char *hosts; /* the provider's own, or NULL */
	CsAuth auth;
	char *user;
	char *secret;
	char *session;
	int token_no;	   /* AUTH_TOKEN: which one secret is, or was */
	char *former;	   /* the one before, which an answer may still show */
	dlist_head asking; /* tasks that wait for a token */
	bool digest;	/* the server asked for it */
	bool no_expect; /* the server does not answer Expect: 100-continue */
	bool multiplexes; /* its last answer came by HTTP/2 */
	CsPace pace;
	CsHttpHandle *idle; /* handles not in use */
	int n_idle;
} CsHttpPlace;

/*
 * One curl_multi, its descriptors and its clock; one a loop (http_multi.c). All
 * times are microseconds of the monotonic clock.
 */
struct CsHttp
{
	CURLM *multi;
	int epoll_fd; /* the loop's */
	int timer_fd; /* in it: for curl's timer, pauses and limits of time */
	int64 armed;  /* when it goes off; 0: it does not */
	int64 curl_at; /* when curl wants to be called; -1: not by time */
	int64 watch_at; /* when limits of time are looked at next */
	int sockets;	/* open in curl, */
	int announced;	/* of which fd.c knows */
	CsHttpSettings settings;
	dlist_head ready;	 /* tasks that can go on */
	dlist_head flying;	 /* whose request is in curl's hands */
	dlist_head sleeping; /* that wait for their turn or for a time */
	X509_STORE *store;	 /* the authorities trusted (http_tls.c) */
	char *store_file;	 /* cloudsync.ca_file that is in it */
	int64 store_stamp;
};

/* An easy handle and what an answer's headers need (http_handle.c). */
struct CsHttpHandle
{
	CURL *easy;
	CsHttpHandle *next;
	CsHttpTask *task; /* whose it is now */
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE];
	char *block; /* CS_HTTP_HEADER_BYTES, names and values */
	size_t block_len;
	size_t header_bytes; /* of the whole exchange */
	CsHeader answer[CS_HTTP_HEADERS];
	int n_answer;
};

typedef enum CsHttpPhase
{
	CS_HTTP_IDLE,
	CS_HTTP_START,	/* to be checked and prepared */
	CS_HTTP_FILL,	/* the first piece of the body is to be read */
	CS_HTTP_TOKEN,	/* waits for a token */
	CS_HTTP_QUEUED, /* waits for its turn at the endpoint */
	CS_HTTP_FLYING, /* in curl's hands */
	CS_HTTP_ENDED,	/* curl is done with it */
	CS_HTTP_HASHING /* HASH_BODY */
} CsHttpPhase;

/* Where the content of the answer goes; known with its first byte. */
typedef enum CsHttpWhere
{
	CS_WHERE_UNKNOWN,
	CS_WHERE_TEXT,
	CS_WHERE_BUFFER
} CsHttpWhere;

/*
 * One request at a time of one transfer (http.c). What is in it is malloc'ed
 * but for hashes; cs_http_close frees it.
 */
struct CsHttpTask
{
	dlist_node node;	   /* in flying or sleeping, if listed */
	dlist_node ready_node; /* in ready, if ready */
	bool listed;
	bool ready;
	void *owner; /* the caller's */
	CsHttp *http;
	CsHttpPlace *place;
	CsBody *body;
	CsStep (*take)(void *owner, const char *buf, int64 len);
	CsRequest request; /* its strings live until the answer is used */
	CsResponse response;
	int64 done;		/* bytes of the body so far */
	int64 begun_at; /* the transfer */

	CsHttpPhase phase;
	CsOrigin origin; /* of the request */
	CsHttpHandle *handle;
	CsPaceTicket ticket;
	int64 wake_at;
	int64 not_before; /* the conversation's own wish */
	bool digest_tried;
	int token_no; /* sent with the request */
	bool token_tried;
	bool fresh; /* sent over a connection of its own */
	CsFailure failure;
	CsFailure body_failure;

	/* a body on its way, either way */
	char *buffer;
	size_t size;
	size_t start; /* what is in the buffer: start to end */
	size_t end;
	int64 offset; /* of the body: next to be read into the buffer */
	bool eof;	  /* the last of it is in the buffer, or was */
	bool body_waits; /* the body has nothing yet, or no room */
	bool paused;  /* curl waits for us */
	int64 sent;	  /* bytes of this request's content that curl took, */
	int64 tail_sent; /* and of them those after the body */
	int64 received; /* bytes of this answer's that went to the body */
	int64 written;	/* to the body, by all requests since it was begun */
	bool delivered; /* the body was written to, by any request */
	bool anew;		/* this answer's content begins it anew */
	CsHttpWhere where;
	char *text;
	size_t text_len;
	size_t text_size;
	bool text_cut; /* no more is wanted */

	/* hashes (http_body.c) */
	CsChecksumKind checksum_kind; /* kept beside SHA-256 */
	CsHash *hash;				  /* of the body's first bytes, */
	CsChecksum *checksum;		  /* NULL: of no kind */
	char checksum_text[CS_CHECKSUM_TEXT];
	int64 hashed;	/* so many bytes */
	int64 furthest; /* the end of the last byte seen */
	CsHash *part; /* of this request's, up to offset part_hashed */
	EVP_MD_CTX *md5;
	int64 part_hashed;

	/* the exchange's times */
	int64 launched_at;
	int64 ended_at;
	int64 sent_at;	   /* the last byte given to curl */
	int64 progress_at; /* any byte, either way */
	int64 moved;	   /* bytes, both ways */
	int64 window_at;   /* since when they are counted for low speed */
	int64 window_moved;
	bool connected;
	bool answered;	/* a byte of an answer came */
	bool resent;	/* before one came, curl sent the content again */
	bool continued; /* 100 Continue came */
	bool expecting; /* it was asked for */
	CURLcode code;
	const char *why;	/* a callback ended it: this is why, or NULL */
	const char *limit;	/* the setting whose time was up, CS_HTTP_HELD, or NULL */
	char refused[64];	/* the address that S5 forbids, or "" */
#ifndef FRONTEND
	MemoryContext lasting; /* the transfer's */
	MemoryContext scratch; /* of the owner's functions, for one call */
#endif
};

/* What a slice came to. */
typedef enum CsHttpSlice
{
	CS_HTTP_MORE,	  /* there is more to do at once */
	CS_HTTP_WAIT,	  /* nothing, until cs_http_take_ready says so */
	CS_HTTP_ANSWERED, /* the response is complete */
	CS_HTTP_PAGE,	  /* take() said PAGE: the same request goes on later */
	CS_HTTP_STOPPED	  /* take() said FAILED: the request was given up */
} CsHttpSlice;

/* http.c */
extern void cs_http_init(CsHttpTask *task, CsHttp *http, CsEndpoint *endpoint,
						 CsBody *body);
extern void cs_http_begin(CsHttpTask *task, const CsRequest *request);
extern CsHttpSlice cs_http_slice(CsHttpTask *task);
/* The body failed, outside of our code too: gives up the request, answers so. */
extern void cs_http_body_failed(CsHttpTask *task, const CsFailure *failure);
/* Gives up the request, if any, and frees all. Cannot fail. */
extern void cs_http_close(CsHttpTask *task);

/* http_multi.c */
extern CsHttp *cs_http_create(int epoll_fd, CsFailure *failure);
extern void cs_http_destroy(CsHttp *http);
extern void cs_http_set(CsHttp *http, const CsHttpSettings *settings);
/* Does what descriptors and times call for, without waiting. */
extern void cs_http_turn(CsHttp *http);
/* The next task that can go on, or NULL. */
extern CsHttpTask *cs_http_take_ready(CsHttp *http);
/* Sets the timer; to be called before waiting. True: there is work at once. */
extern bool cs_http_arm(CsHttp *http);
extern int64 cs_http_now(void);
extern int64 cs_http_clock(void); /* of the day */
extern void cs_http_ready(CsHttpTask *task);
extern void cs_http_sleep(CsHttpTask *task, int64 until);
extern void cs_http_unlist(CsHttpTask *task);
/* Into and out of curl's hands; false: it would not take it. */
extern bool cs_http_fly(CsHttpTask *task);
extern void cs_http_ground(CsHttpTask *task);
extern void cs_http_unpause(CsHttpTask *task);

/* http_handle.c */
extern CsHttpHandle *cs_http_handle_take(CsHttpTask *task);
extern void cs_http_handle_give(CsHttpTask *task);
extern void cs_http_handle_free(CsHttpHandle *handle);
/* Tells curl of the request. NULL: all well, else the option it refused. */
extern const char *cs_http_handle_set(CsHttpTask *task);
extern void cs_http_enter(sigset_t *saved); /* around each call of curl's */
extern void cs_http_leave(const sigset_t *saved);

/* http_callback.c: what curl calls */
extern size_t cs_http_on_header(char *line, size_t size, size_t n, void *arg);
extern size_t cs_http_on_write(char *bytes, size_t size, size_t n, void *arg);
extern size_t cs_http_on_read(char *bytes, size_t size, size_t n, void *arg);
extern int cs_http_on_seek(void *arg, curl_off_t offset, int origin);
extern curl_socket_t cs_http_on_socket(void *arg, curlsocktype purpose,
									   struct curl_sockaddr *address);
extern int cs_http_on_close(void *arg, curl_socket_t fd);
extern int cs_http_on_connected(void *arg, char *primary_ip, char *local_ip,
								int primary_port, int local_port);

/* http_body.c: false: the body failed, and task->body_failure says how */
extern bool cs_http_room(CsHttpTask *task, size_t size);
/* Reads a piece. *again: 0, or when the pace lets go. */
extern bool cs_http_fill(CsHttpTask *task, int64 *again);
extern bool cs_http_hash_piece(CsHttpTask *task);
/* Bytes of what a request carries, with what goes around its body; -1: not
 * known; and the body's own of those that curl took. */
extern int64 cs_http_content_length(const CsRequest *request);
extern int64 cs_http_body_sent(const CsHttpTask *task);
extern bool cs_http_deliver(CsHttpTask *task, int64 *again);
extern bool cs_http_body_restart(CsHttpTask *task);
extern bool cs_http_hash_start(CsHttpTask *task);
extern void cs_http_hash_answer(CsHttpTask *task);
extern void cs_http_hash_free(CsHttpTask *task);

/* http_request.c: may the request be made, and with which headers */
extern bool cs_http_check(CsHttpTask *task);
extern bool cs_http_is_own(const CsHttpTask *task);
extern bool cs_http_set_headers(CsHttpTask *task);

/* http_token.c */
/* Must it wait for a token? Then it is listed among those that do. */
extern bool cs_http_token_missing(CsHttpTask *task);
/* Was its token refused, and is it worth another try with the next one? */
extern bool cs_http_token_refused(CsHttpTask *task, long status);

/* http_answer.c */
extern void cs_http_answer(CsHttpTask *task);
extern void cs_http_refuse(CsHttpTask *task, CsFailureClass failure_class,
						   const char *detail, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* http_tls.c */
extern bool cs_http_tls_load(CsHttp *http, CsFailure *failure);
extern CURLcode cs_http_on_tls(CURL *easy, void *context, void *arg);

/* http_place.c */
extern bool cs_origin_parse(CsOrigin *origin, const char *url);
extern void cs_origin_free(CsOrigin *origin);
extern void cs_reach_refused(CsFailure *failure, const CsOrigin *origin);
/* cs_endpoint_open_http with cloudsync.allowed_endpoints given. */
extern CsEndpoint *cs_endpoint_open_place(CsService *service,
										  const CsHttpAccess *access,
										  const char *allowed,
										  CsFailure *failure);
/* What a server may have echoed of the credentials is not to be told. */
extern void cs_http_hide_secrets(const CsHttpPlace *place, CsFailure *failure);
extern void cs_http_forget(char *secret);
extern bool cs_origin_equal(const CsOrigin *a, const CsOrigin *b);

#endif
