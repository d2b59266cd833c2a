// Values and mutations: what is kept as it went, and what is refused.
'use strict';

const {PropertyFilter} = require('@google-cloud/datastore');
const {assert, refusal, Code} = require('./steps.cjs');
const {store, elsewhere, bookKey, plain, sorted} = require('./library.cjs');

module.exports = {
  'a missing entity is undefined': async () => {
    const [found] = await store.get(store.key(['Nothing', 'here']));
    assert.equal(found, undefined);
  },
  'save completes an incomplete key': async () => {
    const key = store.key('Numbered');
    await store.save({key, data: {a: 1}});
    assert.match(key.id, /^[0-9]+$/);
    const [found] = await store.get(key);
    assert.deepEqual(plain(found), {a: 1});
    assert.equal(found[store.KEY].id, key.id);
  },
  'scalars come back as they went': async () => {
    const key = store.key(['Value', 'scalars']);
    const data = {
      text: 'Grüße 🌍 \u0000 end',
      empty: '',
      nothing: null,
      yes: true,
      no: false,
      whole: 42,
      negative: -7,
      broken: 2.5,
      when: new Date('2026-11-22T12:34:56.789Z'),
      early: new Date('1901-02-03T04:05:06.007Z'),
      raw: Buffer.from([0, 1, 2, 254, 255]),
    };
    await store.save({key, data});
    const [found] = await store.get(key);
    assert.deepEqual(plain(found), data);
  },
  'doubles stay doubles, and great integers are kept to the last digit': async () => {
    const key = store.key(['Value', 'numbers']);
    await store.save({
      key,
      data: {one: store.double(1), great: store.int('9223372036854775807'), tiny: store.double(5e-324)},
    });
    const [found] = await store.get(key, {wrapNumbers: true});
    assert.equal(found.great.value, '9223372036854775807');
    assert.equal(typeof found.one, 'number'); // an integer would be wrapped
    assert.equal(found.tiny, 5e-324);
    await assert.rejects(store.get(key), /out of bounds/);
  },
  'infinities and what is no number are kept': async () => {
    const key = store.key(['Value', 'edges']);
    await store.save({
      key,
      data: {up: store.double(Infinity), down: store.double(-Infinity), not: store.double(NaN)},
    });
    const [found] = await store.get(key);
    assert.deepEqual(plain(found), {up: Infinity, down: -Infinity, not: NaN});
  },
  'points of the earth come back': async () => {
    const key = store.key(['Value', 'point']);
    await store.save({key, data: {at: store.geoPoint({latitude: 48.2, longitude: -16.375})}});
    const [found] = await store.get(key);
    assert.deepEqual(found.at.value ?? found.at, {latitude: 48.2, longitude: -16.375});
  },
  'keys within entities come back as keys': async () => {
    const key = store.key(['Value', 'key']);
    await store.save({key, data: {to: bookKey(3), far: elsewhere.key(['Far', 7])}});
    const [found] = await store.get(key);
    assert.deepEqual(found.to.path, ['Library', 'main', 'Book', 'b3']);
    assert.equal(found.far.namespace, 'elsewhere');
    assert.equal(found.far.id, '7');
  },
  'arrays of everything, empty ones too': async () => {
    const key = store.key(['Value', 'arrays']);
    const data = {none: [], mixed: [1, 'two', 3.5, null, true, new Date(0)], keys: [bookKey(1)]};
    await store.save({key, data});
    const [found] = await store.get(key);
    assert.deepEqual(found.none, []);
    assert.deepEqual(found.mixed, data.mixed);
    assert.equal(found.keys[0].name, 'b1');
  },
  'entities within entities': async () => {
    const key = store.key(['Value', 'nested']);
    const data = {address: {street: 'A', at: {floor: 3, tags: ['x', 'y']}}, people: [{name: 'P'}, {name: 'Q'}]};
    await store.save({key, data});
    const [found] = await store.get(key);
    assert.deepEqual(JSON.parse(JSON.stringify(plain(found))), data);
  },
  'what is excluded from indexes is kept and not found': async () => {
    const long = 'x'.repeat(5000);
    const key = store.key(['Value', 'excluded']);
    await store.save({
      key,
      data: {long, inner: {long, short: 'findable'}, list: [{long}], seen: 1},
      excludeFromIndexes: ['long', 'inner.long', 'list[].long'],
    });
    const [found] = await store.get(key);
    assert.equal(found.inner.long.length, 5000);
    const by = (name, value) => store.createQuery('Value').filter(new PropertyFilter(name, '=', value));
    assert.equal((await store.runQuery(by('long', long.slice(0, 100))))[0].length, 0);
    assert.equal((await store.runQuery(by('inner.short', 'findable')))[0].length, 1);
  },
  'a long indexed string is refused': async () => {
    const code = await refusal(
      () => store.save({key: store.key(['Value', 'long']), data: {long: 'x'.repeat(1501)}}),
      /1500 bytes/
    );
    assert.equal(code, Code.INVALID_ARGUMENT);
  },
  'large unindexed strings are left out of indexes when asked': async () => {
    const key = store.key(['Value', 'large']);
    await store.save({key, data: {long: 'y'.repeat(2000)}, excludeLargeProperties: true});
    const [found] = await store.get(key);
    assert.equal(found.long.length, 2000);
  },
  'properties in the explicit form': async () => {
    const key = store.key(['Value', 'explicit']);
    await store.save({
      key,
      data: [
        {name: 'hidden', value: 'secret', excludeFromIndexes: true},
        {name: 'shown', value: 'open'},
      ],
    });
    const [hidden] = await store.runQuery(
      store.createQuery('Value').filter(new PropertyFilter('hidden', '=', 'secret'))
    );
    const [shown] = await store.runQuery(
      store.createQuery('Value').filter(new PropertyFilter('shown', '=', 'open'))
    );
    assert.deepEqual([0, 1], [hidden.length, shown.length]);
  },
  'insert refuses what is there': async () => {
    const key = store.key(['Once', 'only']);
    await store.insert({key, data: {a: 1}});
    assert.equal(await refusal(() => store.insert({key, data: {a: 2}}), /already exists/), Code.ALREADY_EXISTS);
    const [found] = await store.get(key);
    assert.equal(found.a, 1);
  },
  'update refuses what is not there': async () => {
    const key = store.key(['Once', 'never']);
    assert.equal(await refusal(() => store.update({key, data: {a: 2}}), /no entity to update/), Code.NOT_FOUND);
    const kept = store.key(['Once', 'only']);
    await store.update({key: kept, data: {a: 3}});
    assert.equal((await store.get(kept))[0].a, 3);
  },
  'upsert makes and replaces': async () => {
    const key = store.key(['Once', 'again']);
    await store.upsert({key, data: {a: 1, b: 1}});
    await store.upsert({key, data: {a: 2}});
    assert.deepEqual(plain((await store.get(key))[0]), {a: 2});
  },
  'merge keeps the other properties': async () => {
    const key = store.key(['Once', 'again']);
    await store.merge({key, data: {c: 3}});
    assert.deepEqual(plain((await store.get(key))[0]), {a: 2, c: 3});
  },
  'save with several methods in one commit': async () => {
    const [one, two] = [store.key(['Once', 'm1']), store.key(['Once', 'm2'])];
    await store.save([
      {key: one, data: {a: 1}, method: 'insert'},
      {key: two, data: {a: 2}, method: 'upsert'},
    ]);
    const [found] = await store.get([one, two]);
    assert.deepEqual([1, 2], sorted(found.map(each => each.a)));
  },
  'one refused insert refuses the whole commit': async () => {
    const [old, fresh] = [store.key(['Once', 'm1']), store.key(['Once', 'm3'])];
    const code = await refusal(() => store.insert([{key: fresh, data: {a: 1}}, {key: old, data: {a: 1}}]));
    assert.equal(code, Code.ALREADY_EXISTS);
    assert.equal((await store.get(fresh))[0], undefined);
  },
  'delete, twice, and of several': async () => {
    const keys = [store.key(['Once', 'm1']), store.key(['Once', 'm2'])];
    await store.delete(keys);
    await store.delete(keys[0]);
    assert.deepEqual((await store.get(keys))[0], []);
  },
  'ids are allocated once': async () => {
    const [keys] = await store.allocateIds(store.key(['Numbered']), 10);
    assert.equal(new Set(keys.map(key => key.id)).size, 10);
    const [more] = await store.allocateIds(store.key(['Library', 'main', 'Numbered']), {allocations: 5});
    assert.equal(more.length, 5);
    assert.equal(more[0].parent.name, 'main');
  },
};
