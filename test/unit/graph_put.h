/*
 * graph_put.h
 *	  What the replays of PUT at Microsoft Graph share: a small file of five bytes.
 */
#ifndef GRAPH_PUT_H
#define GRAPH_PUT_H

#include "graph_play.h"

static inline CsOp
put(void)
{
	CsOp op = {0};

	op.kind = CS_OP_PUT;
	op.path = "/d/a";
	op.size = 5;
	op.has_sha256 = true;
	memset(op.sha256, 'a', CS_SHA256_LENGTH);
	op.checksum = HA;
	return op;
}

#endif
