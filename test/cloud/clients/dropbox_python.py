"""Dropbox's own client for Python (Debian's python3-dropbox) at the test cloud."""
import datetime
import os
import sys

from client import READY, act, control, done, ok, port, same

for name, host in (("API_HOST", "api"), ("API_CONTENT_HOST", "content"), ("API_NOTIFY_HOST", "notify"), ("WEB_HOST", "www")):
    os.environ[("DROPBOX_" + name)] = "127.0.0.1:%d" % port("dropbox", host)
try:
    import dropbox
except ImportError as why:
    print("skip - %s" % why)
    sys.exit(0)
from dropbox import common, exceptions, files

grant = act("dropbox", "grant")
box = dropbox.Dropbox(oauth2_refresh_token=grant["refresh_token"], app_key=grant["client_id"],
                      app_secret=grant["client_secret"], ca_certs=READY["ca_file"], max_retries_on_error=0,
                      max_retries_on_rate_limit=0)


def error_of(call, *arguments, **more):
    try:
        call(*arguments, **more)
    except exceptions.ApiError as why:
        return why.error
    return None


account = box.users_get_current_account()
same(account.email, "anna@example.com", "the account, by a token that was refreshed")
same(box.users_get_space_usage().allocation.is_individual(), True, "its space")
first = box.files_upload(b"one", "/Été/😀.txt", client_modified=datetime.datetime(2026, 1, 2, 3, 4, 5))
same((first.name, first.size, first.client_modified.year), ("😀.txt", 3, 2026), "an upload")
failed = error_of(box.files_upload, b"two", "/été/😀.txt")
same(failed.get_path().reason.get_conflict().is_file(), True, "a conflict")
same(box.files_upload(b"two", "/été/😀.txt", mode=files.WriteMode.update(first.rev)).id, first.id, "an update")
same(error_of(box.files_create_folder_v2, "/été").get_path().get_conflict().is_folder(), True, "a folder that is there")
metadata, answer = box.files_download("/été/😀.txt")
same((metadata.id, answer.content), (first.id, b"two"), "a download")

listed = box.files_list_folder("", recursive=True, limit=1)
names = [e.path_lower for e in listed.entries]
while listed.has_more:
    listed = box.files_list_folder_continue(listed.cursor)
    names += [e.path_lower for e in listed.entries]
same(names, ["/été", "/été/😀.txt"], "a listing, by pages of one")
box.files_move_v2("/été", "/Moved")
box.files_delete_v2("/Moved/😀.txt")
changed = box.files_list_folder_continue(listed.cursor)
events = changed.entries
while changed.has_more:
    changed = box.files_list_folder_continue(changed.cursor)
    events += changed.entries
same([(type(e).__name__, e.path_display) for e in events], [("DeletedMetadata", "/été"), ("FolderMetadata", "/Moved"), ("DeletedMetadata", "/moved/😀.txt")], "what changed")
same(box.files_list_folder_longpoll(listed.cursor).changes, True, "a longpoll for what has changed is answered at once")

session = box.files_upload_session_start(b"1234").session_id
failed = error_of(box.files_upload_session_append_v2, b"5678", files.UploadSessionCursor(session, 2))
same(failed.get_incorrect_offset().correct_offset, 4, "a wrong offset")
box.files_upload_session_append_v2(b"5678", files.UploadSessionCursor(session, 4), close=True)
sessions = [session] + [box.files_upload_session_start(b"x%d" % i, close=True).session_id for i in range(20)]
entries = [files.UploadSessionFinishArg(files.UploadSessionCursor(s, 8 if s == session else len("x%d" % (i - 1))),
                                        files.CommitInfo("/batch/%d" % i)) for i, s in enumerate(sessions)]
finished = box.files_upload_session_finish_batch_v2(entries).entries
same([e.is_success() for e in finished], [True] * 21, "a batch of sessions")
again = box.files_upload_session_finish_batch_v2(entries[:1]).entries[0]
same(again.get_failure().get_lookup_failed().is_not_found(), True, "a session that was finished")
same(len(box.files_list_revisions("/batch/0").entries), 1, "revisions")

bert = act("dropbox", "grant", user="bert@example.org")
team = dropbox.Dropbox(oauth2_access_token=bert["access_token"], ca_certs=READY["ca_file"])
info = team.users_get_current_account().root_info
whole = team.with_path_root(common.PathRoot.root(info.root_namespace_id))
same([e.name for e in whole.files_list_folder("").entries], ["Bert Example", "Projects"], "a team space, by its path root")
act("dropbox", "expire_tokens")
same(box.files_get_metadata("/batch/1").size, 2, "a token that expired is refreshed")
control("fault", {"service": "dropbox", "route": "files/get_metadata", "kind": "throttle", "retry_after": 3})
try:
    box.files_get_metadata("/batch/1")
    ok(False, "too many requests")
except exceptions.RateLimitError as why:
    same(why.backoff, 3, "too many requests")
act("dropbox", "remove_app")
try:
    box.files_get_metadata("/batch/1")
    ok(False, "the app was removed")
except exceptions.AuthError as why:
    ok(True, "the app was removed")
done()
