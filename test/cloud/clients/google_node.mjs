// Google's own client for Drive (npm's @googleapis/drive, in NODE_MODULES) at the test cloud.
import crypto from 'node:crypto';
import { Readable } from 'node:stream';
import { act, bytes, equal, need, tries, url } from './client.mjs';

const { drive_v3, auth } = need('@googleapis/drive');

const told = await act('google', 'grant');
const native = (await act('google', 'native', { path: '/document', text: 'exported' })).id;
const bulk = (await act('google', 'bulk', { path: '/Bulk', count: 2500 })).folder;
await act('google', 'drive', { name: 'Team' });
await act('google', 'add', { drive: 'Team', path: '/a.txt', text: 'a' });
// Uploads need it once more (a trap of this client).
const root = { rootUrl: `${url('google', 'api')}/` };
const who = new auth.OAuth2({
  clientId: told.client_id, clientSecret: told.client_secret,
  endpoints: { oauth2TokenUrl: `${url('google', 'oauth')}/token` },
});
who.setCredentials({ refresh_token: told.refresh_token });
const drive = new drive_v3.Drive({ auth: who, ...root });
const FOLDER = 'application/vnd.google-apps.folder';

async function refused(status, reason, how) {
  try {
    await how();
  } catch (why) {
    equal(why.response && why.response.status, status);
    equal(why.response.data.error.errors[0].reason, reason);
    return;
  }
  throw new Error('it was not refused');
}
const data = crypto.randomBytes(300000);
let ids;
let token;
await tries('about', async () => {
  const about = (await drive.about.get({ fields: 'user,storageQuota' })).data;
  equal(about.user.me, true);
  equal(typeof about.storageQuota.usage, 'string');
});
await tries('a folder with an id of ours', async () => {
  token = (await drive.changes.getStartPageToken({})).data.startPageToken;
  ids = (await drive.files.generateIds({ count: 3 })).data.ids;
  const made = await drive.files.create({ requestBody: { id: ids[0], name: "it's", mimeType: FOLDER }, fields: 'id,parents' });
  equal(made.data.id, ids[0]);
});
await tries('the id taken: 409', () => refused(409, 'duplicate', () =>
  drive.files.create({ requestBody: { id: ids[0], name: "it's", mimeType: FOLDER } })));
await tries('bytes up', async () => {
  const made = await drive.files.create({
    requestBody: { id: ids[1], name: 'a \\ b \u{1F600}.bin', parents: [ids[0]] },
    media: { mimeType: 'application/octet-stream', body: Readable.from([data]) }, fields: 'id,size,md5Checksum,sha256Checksum',
  }, root);
  equal(made.data.size, String(data.length));
  equal(made.data.md5Checksum, crypto.createHash('md5').update(data).digest('hex'));
  equal(made.data.sha256Checksum, crypto.createHash('sha256').update(data).digest('hex'));
});
await tries('bytes down', async () => {
  const got = await bytes((await drive.files.get({ fileId: ids[1], alt: 'media' }, { responseType: 'stream' })).data);
  equal(got.equals(data), true);
});
await tries('a search by parent and name', async () => {
  const found = await drive.files.list({
    q: `'${ids[0]}' in parents and name = 'a \\\\ b \u{1F600}.bin' and trashed = false`, fields: 'files(id,name)',
  });
  equal(found.data.files.map((f) => f.id).join(), ids[1]);
});
await tries('a search that is none: 400', () => refused(400, 'invalid', () => drive.files.list({ q: "name = 'it's'" })));
await tries('unknown fields: 400', () => refused(400, 'invalidParameter', () => drive.files.list({ fields: 'files(etag)' })));
await tries('new bytes by id', async () => {
  const made = await drive.files.update({
    fileId: ids[1], requestBody: { name: 'b.bin' }, media: { mimeType: 'text/plain', body: Readable.from([data]) }, fields: 'id,version',
  }, root);
  equal(made.data.id, ids[1]);
});
await tries('parents in an update: 403', () => refused(403, 'fieldNotWritable', () =>
  drive.files.update({ fileId: ids[1], requestBody: { parents: ['root'] } })));
await tries('a move', async () => {
  const top = (await drive.files.get({ fileId: 'root' })).data.id;
  const moved = await drive.files.update({ fileId: ids[1], addParents: top, removeParents: ids[0], fields: 'parents' });
  equal(moved.data.parents.join(), top);
});
await tries('trash and delete', async () => {
  equal((await drive.files.update({ fileId: ids[0], requestBody: { trashed: true }, fields: 'trashed' })).data.trashed, true);
  equal((await drive.files.delete({ fileId: ids[1] })).status, 204);
});
await tries('the changes', async () => {
  const seen = new Map();
  for (let next = token; next;) {
    const page = (await drive.changes.list({ pageToken: next, fields: 'nextPageToken,newStartPageToken,changes(fileId,removed,file(trashed))' })).data;
    for (const change of page.changes) seen.set(change.fileId, change);
    next = page.nextPageToken;
    if (page.newStartPageToken) token = page.newStartPageToken;
  }
  equal(seen.get(ids[0]).file.trashed, true);
  equal(seen.get(ids[1]).removed, true);
  equal((await drive.changes.list({ pageToken: token })).data.changes.length, 0);
});
await tries('a long listing', async () => {
  const names = new Set();
  let pages = 0;
  for (let next; pages === 0 || next; pages++) {
    const page = (await drive.files.list({ q: `'${bulk}' in parents`, pageSize: 1000, pageToken: next, fields: 'nextPageToken,files(name)' })).data;
    for (const f of page.files) names.add(f.name);
    next = page.nextPageToken;
  }
  equal(names.size, 2500);
  equal(pages, 3);
});
await tries('an export', async () => {
  const got = await bytes((await drive.files.export({ fileId: native, mimeType: 'application/pdf' }, { responseType: 'stream' })).data);
  equal(got.toString(), 'exported');
  await refused(403, 'fileNotDownloadable', () => drive.files.get({ fileId: native, alt: 'media' }));
});
await tries('shared drives', async () => {
  const found = (await drive.drives.list({})).data.drives;
  equal(found.length, 1);
  await refused(404, 'notFound', () => drive.files.get({ fileId: found[0].id }));
  const list = await drive.files.list({ corpora: 'drive', driveId: found[0].id, supportsAllDrives: true, includeItemsFromAllDrives: true });
  equal(list.data.files.length, 1);
});
console.log('done');
