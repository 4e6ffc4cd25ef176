/*
 * gdrive_put.h
 *	  What the replays of PUT at Google Drive share: a small file of five bytes, the
 *	  requests that make or replace it, and what stands there.
 */
#ifndef GDRIVE_PUT_H
#define GDRIVE_PUT_H

#include "gdrive_play.h"

#define P "/d/f.txt"
#define NEW(id)                                                                \
	"POST up/files uploadType=multipart {\"id\":\"" id                         \
	"\",\"name\":\"f.txt\",\"mimeType\":\"text/plain\",\"parents\":[\"D\"]} "  \
	"[0+5]"
#define REPLACE(id) "PATCH up/files/" id " uploadType=multipart {} [0+5]"
#define THERE(id, m, rev) "200 f:" id ":f.txt:D:5:" m ":" rev

static inline CsOp
put(void)
{
	CsOp op = {0};

	op.kind = CS_OP_PUT;
	op.path = P;
	op.size = 5;
	op.has_sha256 = true;
	memset(op.sha256, 'x', CS_SHA256_LENGTH);
	op.checksum = repeated('a', 32);
	return op;
}

static inline char *
version(char md5, const char *revision)
{
	return psprintf("%s:5:%s", repeated(md5, 32), revision);
}

#endif
