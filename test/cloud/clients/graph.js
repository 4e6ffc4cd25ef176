// Microsoft's own client for Graph against the test cloud: t/106.
// node graph.js '{"api" (by a name other than the bytes' host has), "token", "bulk"
// (the path of a folder of 2,500), "library" (a drive's id)}'
// Prints "ok WHAT" or "not ok WHAT: WHY" for each thing it tries.
'use strict';
const crypto = require('crypto');
const { Client, FileUpload, OneDriveLargeFileUploadTask, PageIterator, StreamUpload } = require('@microsoft/microsoft-graph-client');
const { Readable } = require('stream');

const told = JSON.parse(process.argv[2]);
const graph = Client.init({
  authProvider: (done) => done(null, told.token), baseUrl: told.api + '/', defaultVersion: 'v1.0',
  customHosts: new Set([new URL(told.api).hostname]),
});

async function tries(what, how) {
  try {
    await how();
    console.log('ok ' + what);
  } catch (why) {
    console.log('not ok ' + what + ': ' + String(why.body || why.stack).replace(/\n/g, ' '));
  }
}
function equal(got, expected) {
  if (got !== expected) throw new Error('got ' + got + ', not ' + expected);
}
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
async function bytes(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}
async function all(first) {
  const found = [];
  const walk = new PageIterator(graph, first, (one) => { found.push(one); return true; });
  await walk.iterate();
  return { found, link: walk.getDeltaLink() };
}

(async () => {
  const data = crypto.randomBytes(1000000);
  let drive, folder, delta, file;
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
      new StreamUpload(Readable.from([data.subarray(0, 400000)]), 'large.bin', 400000),
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
    const { found } = await all(await graph.api(`/me/drive/root:${told.bulk}:/children`).top(1000).select('id,name').get());
    equal(new Set(found.map((one) => one.name)).size, 2500);
  });
  await tries('a library that rewrites', async () => {
    const made = await graph.api(`/drives/${told.library}/root:/new/letter.docx:/content`).putStream(Buffer.from('PK letter'));
    const got = await bytes(await graph.api(`/drives/${told.library}/items/${made.id}/content`).getStream());
    equal(got.length, made.size);
    equal(got.length > 9, true);
  });
})();
