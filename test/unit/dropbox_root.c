/* sources: src/provider/dropbox*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * The Dropbox provider in a team's space, whose root may change while
 * conversations are under way, replayed (dropbox_play.h).
 */
#include "postgres_fe.h"

#include "dropbox_play.h"

#define ACCOUNT "API users/get_current_account null = "
#define NOT_FOUND PATH_ERROR("not_found")
#define TEAM_ROOT(n) " root {\".tag\":\"root\",\"root\":\"" n "\"}"

static void
test_root(void)
{
	CsOp op = {.kind = CS_OP_STAT, .path = "/a"};
	CsOp list = {.kind = CS_OP_LIST,
				 .path = "/a",
				 .recursive = true,
				 .follow = true,
				 .cursor = "c1"};

	open_with("path_root", "root");
	PLAY("the team's space", &op,
		 ACCOUNT "200 {\"root_info\":{\"root_namespace_id\":\"7\"}}",
		 "API files/get_metadata {\"path\":\"/a\"}" TEAM_ROOT(
			 "7") " = " NOT_FOUND,
		 "FAILED gone");
	PLAY("asked for once", &op,
		 "API files/get_metadata {\"path\":\"/a\"}" TEAM_ROOT(
			 "7") " = 422 " ERROR(TAG("invalid_root")),
		 "FAILED retry later");
	PLAY("and again if it has changed", &list,
		 ACCOUNT "200 {\"root_info\":{\"root_namespace_id\":\"8\"}}",
		 "API files/list_folder/continue {\"cursor\":\"c1\"}" TEAM_ROOT(
			 "8") " = 422 " ERROR(TAG("invalid_root")),
		 "FAILED reset");
	open_with("path_root", "root");
	PLAY("a root that is none", &op, ACCOUNT "200 {\"root_info\":{\"root_namespace_id\":\"\"}}",
		 "FAILED retry later");
	PLAY("nor is this", &op, ACCOUNT "200 {\"root_info\":{\"root_namespace_id\":\"123456789012345678901\"}}",
		 "FAILED retry later");
}

/* What a conversation says next to an answer, or to none (line NULL). */
static void
says(CsConversation *c, const char *line, const char *wanted, const char *what)
{
	static CsRequest request;
	CsResponse answer;
	CsResult result;
	CsStep step;

	if (line != NULL)
		fill_response(&answer, &request, line);
	step = script.provider->next(c, line != NULL ? &answer : NULL, &request,
								 &result);
	tap_is(say(step, NULL, &request, &result), wanted, what);
}

/* Of two at once, one finds that the root has changed: the other goes nowhere else. */
static void
test_root_of_two(void)
{
	CsOp list = {.kind = CS_OP_LIST, .path = "/a", .recursive = true};
	CsOp stat = {.kind = CS_OP_STAT, .path = "/a"};
	CsConversation *one;
	CsConversation *two;
	CsConversation *three;
	const char *next = "API files/list_folder/continue {\"cursor\":\"c1\"}" TEAM_ROOT("7");

	open_with("path_root", "root");
	one = script.provider->begin(service, &list);
	two = script.provider->begin(service, &stat);
	says(one, NULL, "API users/get_current_account null", "the root is asked for");
	says(one, "200 {\"root_info\":{\"root_namespace_id\":\"7\"}}",
		 "API files/list_folder {\"path\":\"/a\",\"recursive\":true,\"limit\":2000,"
		 "\"include_deleted\":false,\"include_mounted_folders\":true,"
		 "\"include_non_downloadable_files\":true}" TEAM_ROOT("7"),
		 "... and paths begin there");
	says(two, NULL, "API files/get_metadata {\"path\":\"/a\"}" TEAM_ROOT("7"), "another asks there too");
	says(two, "422 " ERROR(TAG("invalid_root")), "FAILED retry later", "... and hears that it is the root no more");
	says(one, "200 {\"entries\":[],\"cursor\":\"c1\",\"has_more\":true}", next,
		 "what was begun there goes on there, not in the member's own folder");
	three = script.provider->begin(service, &stat);
	says(three, NULL, "API users/get_current_account null", "what begins now asks where the root is");
	says(three, "200 {\"root_info\":{\"root_namespace_id\":\"8\"}}",
		 "API files/get_metadata {\"path\":\"/a\"}" TEAM_ROOT("8"), "... and goes there");
	says(one, "422 " ERROR(TAG("invalid_root")), "FAILED retry later", "what was begun elsewhere ends");
	three = script.provider->begin(service, &stat);
	says(three, NULL, "API files/get_metadata {\"path\":\"/a\"}" TEAM_ROOT("8"), "... without forgetting the new one");
}

int
main(void)
{
	test_root();
	test_root_of_two();
	return tap_done();
}
