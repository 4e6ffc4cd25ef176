// What the programs of this folder for node share (see client.py).
//
//   const { drive_v3 } = need('@googleapis/drive');     from NODE_MODULES
//   await act('google', 'grant', {...}); url('google', 'api')
//   await tries('what', async () => { equal(got, expected); });
import { createRequire } from 'node:module';
import http from 'node:http';

export const ready = JSON.parse(process.env.CLOUD);
export const need = createRequire(`${process.env.NODE_MODULES}/`);
export const url = (service, host, name = '127.0.0.1') => `https://${name}:${ready.hosts[service][host]}`;

export function control(what, told) {
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

export const act = (service, name, told) => control('act', { ...told, service, act: name });

export async function tries(what, how) {
  try {
    await how();
    console.log(`ok - ${what}`);
  } catch (why) {
    const said = why.body || (why.response && JSON.stringify(why.response.data)) || why.stack;
    console.log(`not ok - ${what}\n# ${String(said).replace(/\n/g, '\n# ')}`);
  }
}

export function equal(got, expected) {
  if (got !== expected) throw new Error(`got ${got}, not ${expected}`);
}

export async function bytes(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}
