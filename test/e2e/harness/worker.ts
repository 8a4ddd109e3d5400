/** The daemons that run.ts has started, one for each worker: tests count the containers that are left, and restart what runs them. */
const daemons = process.env.MCP_BUILD_TEST_DOCKER_HOSTS?.split(' ') ?? [];
const own = daemons[(Number(process.env.VITEST_POOL_ID) || 1) - 1];
if (own !== undefined) process.env.DOCKER_HOST = own;
