// Queries and aggregations, of ten books that the first step saves.
'use strict';

const {PropertyFilter, and, or, AggregateField} = require('@google-cloud/datastore');
const {assert, refusal, Code} = require('./steps.cjs');
const {store, elsewhere, library, bookKey, books, query, where, numbers, sorted} = require('./library.cjs');

module.exports = {
  'ten books are saved at once, and got': async () => {
    await store.save([{key: library, data: {name: 'main'}}, ...books]);
    const [found] = await store.get([...books.map(book => book.key), store.key(['Book', 'none'])]);
    assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], sorted(found.map(book => book.n)));
  },
  'a stream of gets': async () => {
    const found = [];
    for await (const book of store.createReadStream([bookKey(1), bookKey(2)])) {
      found.push(book.n);
    }
    assert.deepEqual([1, 2], sorted(found));
  },
  'equality': async () => assert.deepEqual([0, 2, 4, 6, 8], sorted(await numbers(where('shelf', '=', 'a')))),
  'inequalities sort by what they compare': async () => {
    assert.deepEqual([0, 1, 2], await numbers(where('n', '<', 3)));
    assert.deepEqual([0, 1, 2, 3], await numbers(where('n', '<=', 3)));
    assert.deepEqual([8, 9], await numbers(where('n', '>', 7)));
    assert.deepEqual([7, 8, 9], await numbers(where('n', '>=', 7)));
    assert.deepEqual([0, 1, 2, 3, 4, 6, 7, 8, 9], await numbers(where('n', '!=', 5)));
  },
  'IN and NOT_IN': async () => {
    assert.deepEqual([1, 3, 5], sorted(await numbers(where('n', 'IN', [5, 3, 1, 99]))));
    assert.deepEqual([0, 8, 9], sorted(await numbers(where('n', 'NOT_IN', [1, 2, 3, 4, 5, 6, 7]))));
  },
  'filters of other types': async () => {
    assert.deepEqual([4], await numbers(where('when', '=', new Date(Date.UTC(2026, 0, 5)))));
    assert.deepEqual([2], await numbers(where('price', '=', store.double(3))));
    assert.equal((await numbers(where('on', '=', true))).length, 5);
    assert.deepEqual([], await numbers(where('shelf', '=', null)));
  },
  'arrays match by any element, and by several filters': async () => {
    assert.equal((await numbers(where('tags', '=', 't0'))).length, 7);
    const both = query().filter(and([new PropertyFilter('tags', '=', 't0'), new PropertyFilter('tags', '=', 't1')]));
    assert.deepEqual([0, 3, 6, 9], sorted(await numbers(both)));
  },
  'and within or, or within and': async () => {
    const cheap = new PropertyFilter('n', '<', 2);
    const last = and([new PropertyFilter('n', '>', 6), new PropertyFilter('shelf', '=', 'b')]);
    assert.deepEqual([0, 1, 7, 9], sorted(await numbers(query().filter(or([cheap, last])))));
    const either = or([new PropertyFilter('shelf', '=', 'a'), new PropertyFilter('n', '=', 7)]);
    const asked = query().filter(and([either, new PropertyFilter('n', '>=', 6)]));
    assert.deepEqual([6, 7, 8], sorted(await numbers(asked)));
  },
  'the old form of filters': async () => {
    assert.deepEqual([2, 4], await numbers(query().filter('shelf', 'a').filter('n', '>', 1).filter('n', '<', 5)));
  },
  'inequalities on two properties': async () => {
    const asked = query()
      .filter(and([new PropertyFilter('n', '>', 2), new PropertyFilter('price', '<', store.double(9))]))
      .order('n', {descending: true});
    assert.deepEqual([5, 4, 3], await numbers(asked));
  },
  'orders, also descending and several': async () => {
    assert.deepEqual([9, 8, 7], await numbers(query().order('n', {descending: true}).limit(3)));
    assert.deepEqual(
      [8, 6, 4, 2, 0, 9, 7, 5, 3, 1],
      await numbers(query().order('shelf').order('n', {descending: true}))
    );
  },
  'an ancestor, a kind of its own, and no kind at all': async () => {
    assert.equal((await numbers(query().hasAncestor(library))).length, 10);
    assert.equal((await numbers(query().hasAncestor(store.key(['Library', 'other'])))).length, 0);
    const [all] = await store.runQuery(store.createQuery().hasAncestor(library));
    assert.equal(all.length, 11);
  },
  'keys are compared': async () => {
    assert.deepEqual([8, 9], await numbers(where('__key__', '>', bookKey(7))));
    assert.deepEqual([4], await numbers(where('__key__', '=', bookKey(4))));
    assert.deepEqual([2, 6], sorted(await numbers(where('__key__', 'IN', [bookKey(2), bookKey(6)]))));
  },
  'keys only': async () => {
    const [found] = await store.runQuery(query().select('__key__').limit(2));
    assert.deepEqual(['b0', 'b1'], found.map(book => book[store.KEY].name));
    assert.deepEqual([[], []], found.map(book => Object.keys(book)));
  },
  'projections, a row for each value of an array': async () => {
    const [found] = await store.runQuery(query().select(['n', 'tags']).filter(new PropertyFilter('n', '<', 2)));
    assert.deepEqual(
      ['0t0', '0t1', '1t1', '1t2'],
      found.map(row => `${row.n}${row.tags}`).sort()
    );
    const [dates] = await store.runQuery(query().select(['when']).order('when').limit(1));
    assert.equal(Number(dates[0].when), Date.UTC(2026, 0, 1) * (typeof dates[0].when === 'number' ? 1000 : 1));
  },
  'one result of each group': async () => {
    const [found] = await store.runQuery(query().select(['shelf']).groupBy('shelf').order('shelf'));
    assert.deepEqual(['a', 'b'], found.map(row => row.shelf));
    const [first] = await store.runQuery(
      query().select(['shelf', 'n']).groupBy(['shelf']).order('shelf').order('n', {descending: true})
    );
    assert.deepEqual(['a8', 'b9'], first.map(row => `${row.shelf}${row.n}`));
  },
  'offset and limit': async () => {
    assert.deepEqual([3, 4], await numbers(query().order('n').offset(3).limit(2)));
    assert.deepEqual([], await numbers(query().order('n').offset(50)));
  },
  'pages by cursors, which say whether more follows': async () => {
    const seen = [];
    let cursor;
    let told;
    do {
      const page = query().order('n').limit(4);
      const [found, info] = await store.runQuery(cursor ? page.start(cursor) : page);
      seen.push(found.map(book => book.n));
      cursor = info.endCursor;
      told = info.moreResults;
    } while (told !== store.NO_MORE_RESULTS && seen.length < 5);
    assert.deepEqual([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]], seen.slice(0, 3));
    assert.ok(seen.length === 3, `${seen.length} pages`);
  },
  'a cursor ends a query, and outlives writes': async () => {
    const [, info] = await store.runQuery(query().order('n').limit(3));
    assert.equal(info.moreResults, store.MORE_RESULTS_AFTER_LIMIT);
    assert.deepEqual([0, 1, 2], await numbers(query().order('n').end(info.endCursor)));
    const early = {key: store.key({path: ['Library', 'main', 'Book', 'b-1']}), data: {n: -1, shelf: 'c'}};
    await store.save(early);
    assert.deepEqual([3, 4], await numbers(query().order('n').start(info.endCursor).limit(2)));
    await store.delete(early.key);
  },
  'a stream of results tells its end': async () => {
    let info;
    const found = [];
    const stream = store.runQueryStream(query().order('n'));
    stream.on('info', told => (info = told));
    for await (const book of stream) {
      found.push(book.n);
    }
    assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], found);
    assert.equal(info.moreResults, store.NO_MORE_RESULTS);
  },
  'strong and eventual reads answer the same': async () => {
    const [strong] = await store.runQuery(query(), {consistency: 'strong'});
    const [eventual] = await store.get(bookKey(1), {consistency: 'eventual'});
    assert.deepEqual([10, 1], [strong.length, eventual.n]);
  },
  'aggregations': async () => {
    const asked = store
      .createAggregationQuery(where('shelf', '=', 'a'))
      .count('how many')
      .sum('n', 'sum of n')
      .average('price', 'mean');
    const [[told]] = await store.runAggregationQuery(asked);
    assert.deepEqual(told, {'how many': 5, 'sum of n': 20, mean: 6});
  },
  'aggregations by fields, and of nothing': async () => {
    const asked = store
      .createAggregationQuery(where('shelf', '=', 'none'))
      .addAggregations([
        AggregateField.count().alias('c'),
        AggregateField.sum('n').alias('s'),
        AggregateField.average('n').alias('a'),
      ]);
    const [[told]] = await store.runAggregationQuery(asked);
    assert.deepEqual(told, {c: 0, s: 0, a: null});
    const [[few]] = await store.runAggregationQuery(store.createAggregationQuery(query().limit(4)).count('c'));
    assert.equal(few.c, 4);
  },
  'metadata: kinds, namespaces and properties': async () => {
    const [kinds] = await store.runQuery(store.createQuery('__kind__').select('__key__'));
    assert.ok(kinds.map(kind => kind[store.KEY].name).includes('Book'));
    await elsewhere.save({key: elsewhere.key(['Seen', 'there']), data: {a: 1}});
    const [spaces] = await store.runQuery(store.createQuery('__namespace__').select('__key__'));
    assert.ok(spaces.map(space => space[store.KEY].name).includes('elsewhere'));
    const ofBooks = store.createQuery('__property__').hasAncestor(store.key(['__kind__', 'Book']));
    const [properties] = await store.runQuery(ofBooks.select('__key__'));
    assert.deepEqual(
      ['n', 'on', 'price', 'shelf', 'tags', 'when'],
      properties.map(property => property[store.KEY].name)
    );
  },
  'namespaces keep apart': async () => {
    await elsewhere.save({key: elsewhere.key(['Far', 'off']), data: {a: 1}});
    const [there] = await elsewhere.runQuery(elsewhere.createQuery('Far').filter(new PropertyFilter('a', '=', 1)));
    const [here] = await store.runQuery(store.createQuery('Far'));
    assert.deepEqual([1, 0], [there.length, here.length]);
    const [named] = await store.runQuery(store.createQuery('elsewhere', 'Far'));
    assert.equal(named.length, 1);
  },
  'a query that makes no sense is refused': async () => {
    assert.equal(await refusal(() => numbers(where('n', 'IN', []))), Code.INVALID_ARGUMENT);
    const many = Array.from({length: 31}, (_, n) => n);
    assert.equal(await refusal(() => numbers(where('n', 'IN', many)), /30/), Code.INVALID_ARGUMENT);
    assert.equal(await refusal(() => numbers(query().start('bm90IGEgY3Vyc29y'))), Code.INVALID_ARGUMENT);
  },
};
