// What the official Node.js client does with a Datastore, and what it must be answered.
'use strict';

const {run} = require('./steps.cjs');
const {generated} = require('./library.cjs');

run({
  ...require('./values.cjs'),
  ...require('./queries.cjs'),
  ...require('./transactions.cjs'),
}).then(() => generated.close());
