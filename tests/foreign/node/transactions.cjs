// Transactions, and what only the generated client can ask; the books are there.
'use strict';

const {assert, refusal, Code} = require('./steps.cjs');
const {projectId, store, generated, bookKey} = require('./library.cjs');

module.exports = {
  'a transaction reads, writes and commits': async () => {
    const transaction = store.transaction();
    await transaction.run();
    const [book] = await transaction.get(bookKey(0));
    transaction.save({key: bookKey(0), data: {...book, seen: true}});
    transaction.save({key: store.key(['Note', 'n1']), data: {of: 'b0'}});
    assert.equal((await store.get(store.key(['Note', 'n1'])))[0], undefined);
    await transaction.commit();
    assert.equal((await store.get(bookKey(0)))[0].seen, true);
    assert.equal((await store.get(store.key(['Note', 'n1'])))[0].of, 'b0');
  },
  'a rollback leaves nothing': async () => {
    const transaction = store.transaction();
    await transaction.run();
    transaction.insert({key: store.key(['Note', 'n2']), data: {}});
    await transaction.rollback();
    assert.equal((await store.get(store.key(['Note', 'n2'])))[0], undefined);
  },
  'of two transactions on one entity the second is aborted': async () => {
    const key = store.key(['Counter', 'one']);
    await store.save({key, data: {n: 0}});
    const [first, second] = [store.transaction(), store.transaction()];
    await Promise.all([first.run(), second.run()]);
    const [[one], [other]] = await Promise.all([first.get(key), second.get(key)]);
    first.save({key, data: {n: one.n + 1}});
    second.save({key, data: {n: other.n + 10}});
    await first.commit();
    assert.equal(await refusal(() => second.commit(), /contention/), Code.ABORTED);
    assert.equal((await store.get(key))[0].n, 1);
  },
  'a query in a transaction is guarded, too': async () => {
    const transaction = store.transaction();
    await transaction.run();
    await transaction.runQuery(transaction.createQuery('Counter'));
    await store.save({key: store.key(['Counter', 'two']), data: {n: 2}});
    transaction.save({key: store.key(['Counter', 'sum']), data: {n: 1}});
    assert.equal(await refusal(() => transaction.commit()), Code.ABORTED);
  },
  'a read-only transaction sees and does not write': async () => {
    const transaction = store.transaction({readOnly: true});
    await transaction.run();
    const [[counted]] = await transaction.runAggregationQuery(
      transaction.createAggregationQuery(transaction.createQuery('Book')).count('c')
    );
    assert.equal(counted.c, 10);
    transaction.save({key: store.key(['Note', 'n3']), data: {}});
    assert.equal(await refusal(() => transaction.commit(), /read-only/), Code.INVALID_ARGUMENT);
  },
  'a transaction that begins with its first read': async () => {
    const transaction = store.transaction();
    const [note] = await transaction.get(store.key(['Note', 'n1']));
    assert.equal(note.of, 'b0');
    transaction.update({key: store.key(['Note', 'n1']), data: {of: 'b1'}});
    transaction.delete(store.key(['Counter', 'two']));
    await transaction.commit();
    assert.equal((await store.get(store.key(['Note', 'n1'])))[0].of, 'b1');
  },
  'a transaction is over after its commit': async () => {
    const transaction = store.transaction();
    await transaction.run();
    const {id} = transaction;
    await transaction.commit();
    const code = await refusal(() => generated.rollback({projectId, transaction: id}), /no longer valid/);
    assert.equal(code, Code.INVALID_ARGUMENT);
  },
  'the generated client: masks, reserved ids, transforms, single-use transactions': async () => {
    const key = {path: [{kind: 'Low', id: '12345'}]};
    await generated.reserveIds({projectId, keys: [key]});
    const [written] = await generated.commit({
      projectId,
      mode: 'TRANSACTIONAL',
      singleUseTransaction: {},
      mutations: [
        {
          upsert: {key, properties: {a: {integerValue: 1}, b: {stringValue: 'x'}}},
          propertyTransforms: [{property: 'a', increment: {integerValue: 5}}],
        },
      ],
    });
    assert.equal(written.mutationResults[0].transformResults[0].integerValue, '6');
    const [answer] = await generated.lookup({projectId, keys: [key], propertyMask: {paths: ['a']}});
    assert.deepEqual(['a'], Object.keys(answer.found[0].entity.properties));
    const stale = {update: {key, properties: {}}, baseVersion: 1, conflictResolutionStrategy: 'FAIL'};
    const call = () => generated.commit({projectId, mode: 'NON_TRANSACTIONAL', mutations: [stale]});
    assert.equal(await refusal(call), Code.FAILED_PRECONDITION);
  },
};
