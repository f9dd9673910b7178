// A TLS client on Node.js. Arguments: address, PKI directory, key log file.
// Jobs on standard input, results on standard output, as gopeer's dial has them.
'use strict';
const fs = require('fs');
const path = require('path');
const tls = require('tls');
const readline = require('readline');

const [address, pki, keyLog] = process.argv.slice(2);

// connect makes one connection and resolves to [what happened, its session].
function connect(sni, port, identity, page, session) {
  const options = { host: address, port, servername: sni, rejectUnauthorized: false, session };
  if (identity !== '-') {
    options.cert = fs.readFileSync(path.join(pki, identity + '.pem'));
    options.key = fs.readFileSync(path.join(pki, identity + '.key'));
  }
  return new Promise((resolve) => {
    let bytes = 0;
    let latest;
    let problem = '';
    let resumed = 'full';
    const socket = tls.connect(options, () => {
      resumed = socket.isSessionReused() ? 'resumed' : 'full'; // not to be asked of a closed socket
      socket.write(`GET ${page} HTTP/1.0\r\nHost: ${sni}\r\n\r\n`);
    });
    socket.setTimeout(15000, () => socket.destroy(new Error('timeout')));
    socket.on('keylog', (line) => fs.appendFileSync(keyLog, line));
    socket.on('session', (s) => { latest = s; });
    socket.on('data', (d) => { bytes += d.length; });
    socket.on('error', (e) => { problem = ' ' + e.message.replace(/\s+/g, ' '); });
    socket.on('close', () => {
      resolve([`${bytes > 0 ? 'ok' : 'failed'} ${resumed}${problem}`, latest]);
    });
  });
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [sni, port, count, identity, page] = line.split(' ');
    let session;
    for (let i = 0; i < Number(count); i++) {
      const [what, latest] = await connect(sni, Number(port), identity, page, session);
      session = latest;
      console.log(sni, i, what);
    }
  }
})();
