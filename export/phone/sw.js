// The service worker: keeps the app's own files, so that it opens without a network. The model's parts are kept
// by download.js, in a cache of their own. What follows is filled in when the app is exported.
const VERSION = null;
const FILES = null;

const PREFIX = `edgelm ${self.registration.scope} app `;
const NAME = PREFIX + VERSION;
const compat = new URL(self.location).searchParams.has('compat');
// one of the two builds is of use to a browser; the other has megabytes
const needed = FILES.filter(file => !/^wllama\/.*\.wasm$|^wllama\/compat/.test(file) || file.includes('compat.') === compat);

self.addEventListener('install', event => {
  const requests = needed.map(file => new Request(file, {cache: 'no-cache'}));
  event.waitUntil(caches.open(NAME).then(cache => cache.addAll(requests)));
});

self.addEventListener('activate', event => {
  event.waitUntil((async () => {
    const names = await caches.keys();
    await Promise.all(names.filter(name => name.startsWith(PREFIX) && name !== NAME).map(name => caches.delete(name)));
    await self.clients.claim();
  })());
});

self.addEventListener('fetch', event => {
  const {request} = event, scope = self.registration.scope;
  if (request.method !== 'GET' || !request.url.startsWith(scope)) return;
  const file = request.url.slice(scope.length).split(/[?#]/)[0] || 'index.html';
  if (!needed.includes(file)) return;
  event.respondWith((async () => {
    const cache = await caches.open(NAME);
    return await cache.match(new URL(file, scope).href) ?? fetch(request);
  })());
});
