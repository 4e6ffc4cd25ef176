// Microsoft's own client for Graph (npm's @microsoft/microsoft-graph-client, in
// NODE_MODULES) at the test cloud. It sends its token to hosts by name, whatever the
// port, so the API is called by another name than the bytes' host.
import crypto from 'node:crypto';
import { Readable } from 'node:stream';
import { act, bytes, equal, need, tries, url } from './client.mjs';

const { Client, FileUpload, OneDriveLargeFileUploadTask, PageIterator, StreamUpload } = need('@microsoft/microsoft-graph-client');

const told = await act('graph', 'grant', { scopes: ['Files.ReadWrite.All', 'Sites.ReadWrite.All', 'offline_access'] });
const library = (await act('graph', 'drive_info', { site: '/sites/team-a' })).id;
await act('graph', 'bulk', { path: '/Bulk', count: 2500 });
const graph = Client.init({
  authProvider: (done) => done(null, told.access_token), baseUrl: `${url('graph', 'api', 'localhost')}/`, defaultVersion: 'v1.0',
  customHosts: new Set(['localhost']),
});

async function refused(status, code, how) {
  try {
    await how();
  } catch (why) {
    equal(why.statusCode, status);
    equal(why.code, code);
    return;
  }
  throw new Error('it was not refused');
}
async function all(first) {
  const found = [];
  const walk = new PageIterator(graph, first, (one) => { found.push(one); return true; });
  await walk.iterate();
  return { found, link: walk.getDeltaLink() };
}

const data = crypto.randomBytes(1000000);
let drive;
let folder;
let delta;
let file;
await tries('the drive', async () => {
  drive = await graph.api('/me/drive').get();
  equal(drive.driveType, 'business');
  equal((await graph.api('/me').get()).userPrincipalName, drive.owner.user.email);
});
await tries('a folder', async () => {
  folder = await graph.api('/me/drive/root/children').post({ '@microsoft.graph.conflictBehavior': 'fail', name: 'Folder', folder: {} });
  equal(folder.folder.childCount, 0);
});
await tries('the folder again: 409', () => refused(409, 'nameAlreadyExists', () =>
  graph.api('/me/drive/root/children').post({ name: 'FOLDER', folder: {}, '@microsoft.graph.conflictBehavior': 'fail' })));
await tries('a delta from now on', async () => {
  delta = (await graph.api('/me/drive/root/delta').query({ token: 'latest' }).get())['@odata.deltaLink'];
});
await tries('a small file', async () => {
  file = await graph.api(`/drives/${drive.id}/items/${folder.id}:/${encodeURIComponent('a #% \u{1F600}.txt')}:/content`).putStream(Buffer.from('small'));
  equal(file.size, 5);
  equal(file.name, 'a #% \u{1F600}.txt');
});
await tries('the small file down', async () => {
  equal((await bytes(await graph.api(`/drives/${drive.id}/items/${file.id}/content`).getStream())).toString(), 'small');
});
await tries('a session', async () => {
  const task = await OneDriveLargeFileUploadTask.createTaskWithFileObject(graph, new FileUpload(data, 'large.bin', data.length),
    { path: '/Folder', fileName: 'large.bin', rangeSize: 327680, conflictBehavior: 'replace' });
  const made = await task.upload();
  equal(made.responseBody.size, data.length);
  equal((await bytes(await graph.api('/me/drive/root:/Folder/large.bin:/content').getStream())).equals(data), true);
});
await tries('a session by stream, over it', async () => {
  const task = await OneDriveLargeFileUploadTask.createTaskWithFileObject(graph,
    new StreamUpload(Readable.from([data.subarray(0, 200000), data.subarray(200000, 400000)], { objectMode: false }), 'large.bin', 400000),
    { path: '/Folder', fileName: 'large.bin', rangeSize: 327680, conflictBehavior: 'replace' });
  equal((await task.upload()).responseBody.size, 400000);
});
await tries('a session cancelled', async () => {
  const task = await OneDriveLargeFileUploadTask.createTaskWithFileObject(graph, new FileUpload(data, 'none.bin', data.length),
    { path: '/Folder', fileName: 'none.bin', rangeSize: 327680, conflictBehavior: 'fail' });
  await task.cancel();
  await refused(404, 'itemNotFound', () => graph.api('/me/drive/root:/Folder/none.bin').get());
});
await tries('a rename and a move', async () => {
  const below = await graph.api(`/me/drive/items/${folder.id}/children`).post({ name: 'Below', folder: {} });
  const moved = await graph.api(`/me/drive/items/${file.id}`).patch({ name: 'b.txt', parentReference: { id: below.id } });
  equal(moved.parentReference.id, below.id);
  await refused(412, 'resourceModified', () => graph.api(`/me/drive/items/${file.id}`).header('If-Match', file.eTag).patch({ name: 'c.txt' }));
});
await tries('a forbidden name: 400', () => refused(400, 'invalidRequest', () =>
  graph.api('/me/drive/root/children').post({ name: 'a*b', folder: {} })));
await tries('the changes', async () => {
  const { found, link } = await all(await graph.api(delta).get());
  const names = found.filter((one) => one.file).map((one) => one.name).sort().join();
  equal(names, 'b.txt,large.bin');
  equal(found.some((one) => one.parentReference.path), false);
  await graph.api(`/me/drive/items/${file.id}`).delete();
  const next = await all(await graph.api(link).get());
  equal(next.found.filter((one) => one.deleted).map((one) => one.id).join(), file.id);
});
await tries('a long listing', async () => {
  const { found } = await all(await graph.api(`/me/drive/root:/Bulk:/children`).top(1000).select('id,name').get());
  equal(new Set(found.map((one) => one.name)).size, 2500);
});
await tries('a library that rewrites', async () => {
  const made = await graph.api(`/drives/${library}/root:/new/letter.docx:/content`).putStream(Buffer.from('PK letter'));
  const got = await bytes(await graph.api(`/drives/${library}/items/${made.id}/content`).getStream());
  equal(got.length, made.size);
  equal(got.length > 9, true);
});
console.log('done');
