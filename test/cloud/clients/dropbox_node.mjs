// Dropbox's own client for JavaScript (npm's dropbox, in NODE_MODULES) at the test cloud.
import { createRequire } from 'node:module';
import http from 'node:http';

const ready = JSON.parse(process.env.CLOUD);
const require = createRequire(process.env.NODE_MODULES + '/');
const { Dropbox, DropboxAuth } = require('dropbox');

const hosts = { 'api.dropboxapi.com': 'api', 'content.dropboxapi.com': 'content', 'notify.dropboxapi.com': 'notify' };
async function toCloud(address, options) {
  const url = new URL(address);
  url.host = `127.0.0.1:${ready.hosts.dropbox[hosts[url.host]]}`;
  const answer = await fetch(url, options);
  answer.buffer = async () => Buffer.from(await answer.arrayBuffer());
  return answer;
}

function control(what, told) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port: ready.control, path: `/${what}`, method: 'POST' }, (answer) => {
      let text = '';
      answer.on('data', (piece) => { text += piece; });
      answer.on('end', () => (answer.statusCode === 200 ? resolve(JSON.parse(text)) : reject(new Error(text))));
    });
    request.on('error', reject);
    request.end(JSON.stringify(told));
  });
}

function same(got, expected, words) {
  const agrees = JSON.stringify(got) === JSON.stringify(expected);
  console.log(`${agrees ? 'ok' : 'not ok'} - ${words}`);
  if (!agrees) console.log(`# got:      ${JSON.stringify(got)}\n# expected: ${JSON.stringify(expected)}`);
}

const failure = async (call) => { try { await call; return null; } catch (why) { return why; } };

// consent by PKCE, without a secret, the code being shown
const auth = new DropboxAuth({ clientId: 'dbxapp00cloudsync', fetch: toCloud });
const page = new URL(await auth.getAuthenticationUrl(undefined, undefined, 'code', 'offline', undefined, undefined, true));
page.host = `127.0.0.1:${ready.hosts.dropbox.www}`;
const shown = await control('act', { service: 'dropbox', act: 'consent', url: page.href });
const tokens = (await auth.getAccessTokenFromCode(undefined, shown.code)).result;
same(typeof tokens.refresh_token, 'string', 'consent by PKCE');
auth.setRefreshToken(tokens.refresh_token);
auth.setAccessToken(tokens.access_token);
auth.setAccessTokenExpiresAt(new Date(Date.now() - 1000));

const box = new Dropbox({ auth, fetch: toCloud });
same((await box.usersGetCurrentAccount()).result.email, 'anna@example.com', 'the account, after a refresh');
const first = (await box.filesUpload({ path: '/Été/😀.txt', contents: 'one' })).result;
same([first.name, first.size], ['😀.txt', 3], 'an upload');
const conflict = await failure(box.filesUpload({ path: '/été/😀.txt', contents: 'two' }));
same([conflict.status, conflict.error.error.reason['.tag']], [409, 'conflict'], 'a conflict');
const update = await box.filesUpload({ path: '/été/😀.txt', contents: 'two', mode: { '.tag': 'update', update: first.rev } });
same(update.result.id, first.id, 'an update');
const down = (await box.filesDownload({ path: first.id })).result;
same([down.name, down.fileBinary.toString()], ['😀.txt', 'two'], 'a download');
const begun = [];
for (let i = 0; i < 5; i += 1) {
  begun.push((await box.filesUploadSessionStart({ close: true, contents: `x${i}` })).result.session_id);
}
const batch = await box.filesUploadSessionFinishBatchV2({
  entries: begun.map((id, i) => ({ cursor: { session_id: id, offset: 2 }, commit: { path: `/batch/${i}` } })),
});
same(batch.result.entries.map((entry) => entry['.tag']), Array(5).fill('success'), 'a batch');
const listed = (await box.filesListFolder({ path: '/batch' })).result;
same(listed.entries.map((entry) => entry.name), ['0', '1', '2', '3', '4'], 'a listing');
await box.filesMoveV2({ from_path: '/batch/0', to_path: '/batch/moved' });
const changed = (await box.filesListFolderContinue({ cursor: listed.cursor })).result;
same(changed.entries.map((entry) => [entry['.tag'], entry.path_display]), [['deleted', '/batch/0'], ['file', '/batch/moved']], 'what changed');
same((await box.filesListFolderLongpoll({ cursor: listed.cursor })).result.changes, true, 'a longpoll');
await box.filesDeleteV2({ path: '/batch' });
same((await failure(box.filesGetMetadata({ path: '/batch' }))).status, 409, 'what is gone');
await box.authTokenRevoke();
same((await failure(box.usersGetSpaceUsage())).status, 401, 'revoked');
console.log('done');
