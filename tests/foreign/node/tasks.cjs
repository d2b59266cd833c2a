// What the official Node.js client does with Cloud Tasks, and what it must be answered.
'use strict';

const {CloudTasksClient} = require('@google-cloud/tasks');
const {assert, run, refusal, told, options, Code} = require('./steps.cjs');

const client = new CloudTasksClient(options(process.env.CLOUD_TASKS_EMULATOR_HOST));
const worker = process.env.WORKER_URL;
const project = process.env.GOOGLE_CLOUD_PROJECT;
const parent = client.locationPath(project, 'here');
const queue = client.queuePath(project, 'here', 'work');
const other = client.queuePath(project, 'here', 'other');
const taskName = id => client.taskPath(project, 'here', 'work', id);
const later = seconds => ({seconds: Math.floor(Date.now() / 1000) + seconds});
const http = (path, fields = {}) => ({url: worker + path, ...fields});

// The last of so many requests that the worker has got at a path, waiting for them.
async function delivered(path, count = 1) {
  const answer = await fetch(`${worker}/received/${count}${path}`);
  assert.equal(answer.status, 200, await answer.clone().text());
  return (await answer.json()).at(-1);
}

// The task is deleted a moment after the worker has answered.
async function gone(name) {
  for (;;) {
    try {
      await client.getTask({name});
    } catch (error) {
      assert.equal(error.code, Code.NOT_FOUND);
      return told(error);
    }
  }
}

const steps = {
  'a queue gets what it asks for, and the defaults for the rest': async () => {
    const [made] = await client.createQueue({
      parent,
      queue: {name: queue, rateLimits: {maxDispatchesPerSecond: 400}, retryConfig: {minBackoff: {nanos: 1e8}}},
    });
    assert.equal(made.name, queue);
    assert.equal(made.rateLimits.maxDispatchesPerSecond, 400);
    assert.equal(made.rateLimits.maxConcurrentDispatches, 1000);
    assert.equal(made.retryConfig.maxAttempts, 100);
    assert.equal(made.retryConfig.maxDoublings, 16);
    assert.equal(Number(made.retryConfig.maxBackoff.seconds), 3600);
    assert.equal(made.state, 'RUNNING');
  },
  'a queue is made once': async () => {
    const code = await refusal(() => client.createQueue({parent, queue: {name: queue}}), /Queue already exists/);
    assert.equal(code, Code.ALREADY_EXISTS);
  },
  'a queue of a bad name is refused': async () => {
    const bad = `${parent}/queues/under_score`;
    assert.equal(await refusal(() => client.createQueue({parent, queue: {name: bad}})), Code.INVALID_ARGUMENT);
    const code = await refusal(
      () => client.createQueue({parent, queue: {name: other, rateLimits: {maxDispatchesPerSecond: 501}}}),
      /less than or equal to 500/
    );
    assert.equal(code, Code.INVALID_ARGUMENT);
  },
  'a queue is got; one that is not there is not': async () => {
    const [found] = await client.getQueue({name: queue});
    assert.equal(found.name, queue);
    const code = await refusal(() => client.getQueue({name: other}), /Queue does not exist/);
    assert.equal(code, Code.NOT_FOUND);
  },
  'an update changes what its mask names, and makes what is missing': async () => {
    const [made] = await client.updateQueue({queue: {name: other, rateLimits: {maxConcurrentDispatches: 3}}});
    assert.equal(made.rateLimits.maxConcurrentDispatches, 3);
    const [changed] = await client.updateQueue({
      queue: {name: other, rateLimits: {maxConcurrentDispatches: 9}, retryConfig: {maxAttempts: 7}},
      updateMask: {paths: ['retry_config.max_attempts']},
    });
    assert.deepEqual([3, 7], [changed.rateLimits.maxConcurrentDispatches, changed.retryConfig.maxAttempts]);
  },
  'queues are listed by pages': async () => {
    const [all] = await client.listQueues({parent});
    assert.deepEqual([other, queue].sort(), all.map(each => each.name).sort());
    const [first, next] = await client.listQueues({parent, pageSize: 1}, {autoPaginate: false});
    assert.equal(first.length, 1);
    const [second, end] = await client.listQueues(next, {autoPaginate: false});
    assert.notEqual(second[0].name, first[0].name);
    assert.equal(end, null);
  },
  'queues are iterated': async () => {
    const names = [];
    for await (const each of client.listQueuesAsync({parent, pageSize: 1})) {
      names.push(each.name);
    }
    assert.equal(names.length, 2);
  },
  'a paused queue keeps its tasks until it is resumed': async () => {
    const [paused] = await client.pauseQueue({name: other});
    assert.equal(paused.state, 'PAUSED');
    const [task] = await client.createTask({parent: other, task: {httpRequest: http('/paused')}});
    assert.equal((await client.listTasks({parent: other}))[0].length, 1);
    const [resumed] = await client.resumeQueue({name: other});
    assert.equal(resumed.state, 'RUNNING');
    await delivered('/paused');
    assert.match(await gone(task.name), /no longer exists/);
  },
  'an HTTP task is delivered as it was made': async () => {
    const [task] = await client.createTask({
      parent: queue,
      task: {
        name: taskName('http-1'),
        httpRequest: http('/http?a=1&b=%20', {
          httpMethod: 'PUT',
          headers: {'content-type': 'application/json', 'X-Own': 'mine'},
          body: Buffer.from('{"a":"ü"}').toString('base64'),
        }),
      },
    });
    assert.equal(task.name, taskName('http-1'));
    const request = await delivered('/http?a=1&b=%20');
    assert.equal(request.method, 'PUT');
    assert.equal(Buffer.from(request.body, 'latin1').toString(), '{"a":"ü"}');
    assert.equal(request.headers['x-own'], 'mine');
    assert.equal(request.headers['content-type'], 'application/json');
    assert.equal(request.headers['user-agent'], 'Google-Cloud-Tasks');
    assert.equal(request.headers['x-cloudtasks-queuename'], 'work');
    assert.equal(request.headers['x-cloudtasks-taskname'], 'http-1');
    assert.equal(request.headers['x-cloudtasks-taskretrycount'], '0');
    assert.equal(request.headers['x-cloudtasks-taskexecutioncount'], '0');
    assert.match(request.headers['x-cloudtasks-tasketa'], /^[0-9]+\.[0-9]+$/);
  },
  'a finished task is gone, and its name stays taken': async () => {
    const words = await gone(taskName('http-1'));
    assert.match(words, /The task no longer exists, though a task with this name existed recently/);
    const again = {parent: queue, task: {name: taskName('http-1'), httpRequest: http('/again')}};
    assert.equal(
      await refusal(() => client.createTask(again), /a task with this name existed too recently/),
      Code.ALREADY_EXISTS
    );
  },
  'an App Engine task is delivered to the service': async () => {
    const [task] = await client.createTask({
      parent: queue,
      task: {appEngineHttpRequest: {relativeUri: '/app?x=y', body: Buffer.from('hello')}},
    });
    assert.equal(task.appEngineHttpRequest.httpMethod, 'POST');
    const request = await delivered('/app?x=y');
    assert.equal(request.body, 'hello');
    assert.equal(request.headers['x-appengine-queuename'], 'work');
    assert.equal(request.headers['content-type'], 'application/octet-stream');
    assert.match(request.headers['user-agent'], /^AppEngine-Google/);
    assert.equal(request.headers['x-appengine-taskname'], task.name.split('/').at(-1));
  },
  'every method': async () => {
    for (const httpMethod of ['POST', 'GET', 'HEAD', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      await client.createTask({parent: queue, task: {httpRequest: http(`/by/${httpMethod}`, {httpMethod})}});
      assert.equal((await delivered(`/by/${httpMethod}`)).method, httpMethod);
    }
  },
  'a failed attempt is tried again and says so': async () => {
    await client.createTask({parent: queue, task: {httpRequest: http('/fail/503/1/http')}});
    const request = await delivered('/fail/503/1/http', 2);
    assert.equal(request.headers['x-cloudtasks-taskretrycount'], '1');
    assert.equal(request.headers['x-cloudtasks-taskexecutioncount'], '0');
    assert.equal(request.headers['x-cloudtasks-taskpreviousresponse'], '503');
    await client.createTask({parent: queue, task: {appEngineHttpRequest: {relativeUri: '/fail/429/1/app'}}});
    const app = await delivered('/fail/429/1/app', 2);
    assert.equal(app.headers['x-appengine-taskretrycount'], '1');
    assert.equal(app.headers['x-appengine-taskexecutioncount'], '1');
    assert.equal(app.headers['x-appengine-taskretryreason'], 'App Error');
  },
  'a task of the future waits, and is listed': async () => {
    const scheduleTime = later(3600);
    const [task] = await client.createTask({
      parent: queue,
      task: {name: taskName('later'), scheduleTime, httpRequest: http('/later', {body: Buffer.from('deep')})},
    });
    assert.equal(Number(task.scheduleTime.seconds), scheduleTime.seconds);
    assert.equal(task.dispatchCount, 0);
    assert.equal(Number(task.dispatchDeadline.seconds), 600);
    const [tasks] = await client.listTasks({parent: queue});
    assert.deepEqual([task.name], tasks.map(each => each.name));
  },
  'a view decides about the body': async () => {
    const name = taskName('later');
    const [basic] = await client.getTask({name});
    const [full] = await client.getTask({name, responseView: 'FULL'});
    assert.equal(Buffer.from(basic.httpRequest.body).toString(), '');
    assert.equal(Buffer.from(full.httpRequest.body, 'base64').toString(), 'deep');
    assert.deepEqual(['BASIC', 'FULL'], [basic.view, full.view]);
    const [listed] = await client.listTasks({parent: queue, responseView: 'FULL'});
    assert.equal(Buffer.from(listed[0].httpRequest.body, 'base64').toString(), 'deep');
  },
  'a task is made once': async () => {
    const again = {parent: queue, task: {name: taskName('later'), httpRequest: http('/later')}};
    assert.equal(await refusal(() => client.createTask(again)), Code.ALREADY_EXISTS);
  },
  'a task that waits is run now': async () => {
    const [task] = await client.runTask({name: taskName('later')});
    assert.equal(task.name, taskName('later'));
    assert.equal((await delivered('/later')).body, 'deep');
    await gone(taskName('later'));
    assert.equal(await refusal(() => client.runTask({name: taskName('later')})), Code.NOT_FOUND);
  },
  'a task is deleted, once': async () => {
    const name = taskName('doomed');
    await client.createTask({parent: queue, task: {name, scheduleTime: later(60), httpRequest: http('/no')}});
    await client.deleteTask({name});
    assert.equal(await refusal(() => client.deleteTask({name})), Code.NOT_FOUND);
    assert.equal(await refusal(() => client.getTask({name})), Code.NOT_FOUND);
  },
  'a task that never was is not found in other words': async () => {
    const code = await refusal(() => client.getTask({name: taskName('never')}), /Requested entity was not found/);
    assert.equal(code, Code.NOT_FOUND);
  },
  'tasks are listed by pages': async () => {
    for (let number = 0; number < 7; number++) {
      const name = taskName(`page-${number}`);
      await client.createTask({parent: queue, task: {name, scheduleTime: later(900), httpRequest: http('/no')}});
    }
    const sizes = [];
    let next = {parent: queue, pageSize: 3};
    while (next) {
      const [page, following] = await client.listTasks(next, {autoPaginate: false});
      sizes.push(page.length);
      next = following;
    }
    assert.deepEqual([3, 3, 1], sizes);
    const seen = new Set();
    for await (const each of client.listTasksAsync({parent: queue, pageSize: 2})) {
      seen.add(each.name);
    }
    assert.equal(seen.size, 7);
  },
  'what is wrong with a task is told': async () => {
    const refused = async (task, words) =>
      assert.equal(await refusal(() => client.createTask({parent: queue, task}), words), Code.INVALID_ARGUMENT);
    await refused({httpRequest: {url: ''}}, /HttpRequest.url is required/);
    await refused({httpRequest: {url: 'ftp://x/'}}, /must start with 'http:\/\/' or 'https:\/\/'/);
    await refused({name: taskName('a.b'), httpRequest: http('/no')}, /can contain only letters/);
    await refused({scheduleTime: later(31 * 86400), httpRequest: http('/no')}, /too far in the future/);
    await refused({dispatchDeadline: {seconds: 14}, httpRequest: http('/no')}, /between \[15s, 30m\]/);
    await refused({httpRequest: http('/no', {httpMethod: 'GET', body: Buffer.from('b')})});
    await refused({httpRequest: http('/no', {body: Buffer.alloc(1100000)})}, /too large/);
    await refused({name: `${other}/tasks/x`, httpRequest: http('/no')}, /must be the same as the queue name/);
  },
  'a task for a queue that is not there is refused': async () => {
    const missing = client.queuePath(project, 'here', 'missing');
    const asked = {parent: missing, task: {httpRequest: http('/no')}};
    assert.equal(await refusal(() => client.createTask(asked), /Queue does not exist/), Code.NOT_FOUND);
    assert.equal(await refusal(() => client.listTasks({parent: missing})), Code.NOT_FOUND);
  },
  'a purge leaves nothing': async () => {
    const [purged] = await client.purgeQueue({name: queue});
    assert.ok(Number(purged.purgeTime.seconds) > 0);
    assert.equal((await client.listTasks({parent: queue}))[0].length, 0);
  },
  'many tasks at once, each delivered': async () => {
    const numbers = Array.from({length: 20}, (_, n) => n);
    await Promise.all(
      numbers.map(n => client.createTask({parent: queue, task: {httpRequest: http(`/many/${n}`)}}))
    );
    await Promise.all(numbers.map(n => delivered(`/many/${n}`)));
  },
  'policies are not served': async () => {
    assert.equal(await refusal(() => client.getIamPolicy({resource: queue})), Code.UNIMPLEMENTED);
    assert.equal(
      await refusal(() => client.testIamPermissions({resource: queue, permissions: ['a.b']})),
      Code.UNIMPLEMENTED
    );
  },
  'a deleted queue is gone for a while': async () => {
    await client.deleteQueue({name: other});
    assert.equal(await refusal(() => client.deleteQueue({name: other})), Code.NOT_FOUND);
    const code = await refusal(() => client.createQueue({parent, queue: {name: other}}), /existed too recently/);
    assert.equal(code, Code.FAILED_PRECONDITION);
    assert.equal(await refusal(() => client.getQueue({name: other})), Code.NOT_FOUND);
  },
};

run(steps).then(() => client.close());
