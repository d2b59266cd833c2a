// The clients of the Datastore scripts, and the entities that are queried.
'use strict';

const {Datastore, PropertyFilter, v1} = require('@google-cloud/datastore');
const {options} = require('./steps.cjs');

const projectId = process.env.GOOGLE_CLOUD_PROJECT;
// Over gRPC the client finds the server by itself.
const {fallback, protocol, auth} = options(process.env.DATASTORE_EMULATOR_HOST);
const store = new Datastore({projectId, fallback, protocol, auth});
const elsewhere = new Datastore({projectId, fallback, protocol, auth, namespace: 'elsewhere'});

// The generated client beneath, for what the other has no words for.
const generated = new v1.DatastoreClient(options(process.env.DATASTORE_EMULATOR_HOST));

// Ten books: `n` from 0 to 9, `shelf` a or b, `price` and a second order, and tags, some in common.
const library = store.key(['Library', 'main']);
const bookKey = n => store.key({path: ['Library', 'main', 'Book', `b${n}`]});
const books = Array.from({length: 10}, (_, n) => ({
  key: bookKey(n),
  data: {
    n,
    shelf: n % 2 ? 'b' : 'a',
    price: store.double(n * 1.5),
    tags: [`t${n % 3}`, `t${(n + 1) % 3}`],
    when: new Date(Date.UTC(2026, 0, n + 1)),
    on: n % 2 === 0,
  },
}));

const query = () => store.createQuery('Book');
const where = (name, op, value) => query().filter(new PropertyFilter(name, op, value));
async function numbers(asked) {
  const [found] = await store.runQuery(asked);
  return found.map(book => book.n);
}

// An entity without its key, which the client hides in it under a symbol.
const plain = entity => Object.fromEntries(Object.entries(entity));
const sorted = values => [...values].sort((one, other) => one - other);

module.exports = {
  ...{projectId, store, elsewhere, generated},
  ...{library, bookKey, books, query, where, numbers, plain, sorted},
};
