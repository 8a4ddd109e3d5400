/** The most downloaded packages and MCP servers, November 2026, without builds for one platform. */
export const POPULAR_NPM: ReadonlySet<string> = new Set(
  `
@a-bonus/google-docs-mcp @aashari/mcp-server-atlassian-bitbucket @aashari/mcp-server-atlassian-jira
@adobe/css-tools @ag-ui/mcp-apps-middleware @agent-infra/mcp-server-filesystem @agentdeskai/browser-tools-mcp
@ai-sdk/mcp @alloc/quick-lru @amap/amap-maps-mcp-server @ampproject/remapping @angular-devkit/core
@ansvar/mcp-sqlite @antv/mcp-server-chart @apify/actors-mcp-server @asamuzakjp/css-color
@assistant-ui/mcp-docs-server @atlassian-dc-mcp/bitbucket @atlassian-dc-mcp/confluence @atlassian-dc-mcp/jira
@automattic/mcp-wordpress-remote @aws-crypto/crc32 @aws-crypto/sha256-browser @aws-crypto/sha256-js
@aws-crypto/supports-web-crypto @aws-crypto/util @aws-sdk/client-s3 @aws-sdk/client-sso @aws-sdk/core
@aws-sdk/credential-provider-env @aws-sdk/credential-provider-http @aws-sdk/credential-provider-ini
@aws-sdk/credential-provider-login @aws-sdk/credential-provider-node @aws-sdk/credential-provider-process
@aws-sdk/credential-provider-sso @aws-sdk/credential-provider-web-identity @aws-sdk/middleware-bucket-endpoint
@aws-sdk/middleware-expect-continue @aws-sdk/middleware-flexible-checksums @aws-sdk/middleware-host-header
@aws-sdk/middleware-location-constraint @aws-sdk/middleware-logger @aws-sdk/middleware-recursion-detection
@aws-sdk/middleware-sdk-s3 @aws-sdk/middleware-ssec @aws-sdk/middleware-user-agent @aws-sdk/nested-clients
@aws-sdk/region-config-resolver @aws-sdk/signature-v4-multi-region @aws-sdk/token-providers @aws-sdk/types
@aws-sdk/util-arn-parser @aws-sdk/util-endpoints @aws-sdk/util-locate-window @aws-sdk/util-user-agent-browser
@aws-sdk/util-user-agent-node @aws-sdk/xml-builder @aws/lambda-invoke-store @azure-devops/mcp
@azure/abort-controller @azure/mcp @azure/mcp-darwin-arm64 @azure/mcp-linux-x64 @azure/mcp-win32-x64
@babel/code-frame @babel/compat-data @babel/core @babel/generator @babel/helper-annotate-as-pure
@babel/helper-compilation-targets @babel/helper-create-class-features-plugin
@babel/helper-create-regexp-features-plugin @babel/helper-define-polyfill-provider @babel/helper-function-name
@babel/helper-globals @babel/helper-member-expression-to-functions @babel/helper-module-imports
@babel/helper-module-transforms @babel/helper-optimise-call-expression @babel/helper-plugin-utils
@babel/helper-remap-async-to-generator @babel/helper-replace-supers @babel/helper-simple-access
@babel/helper-skip-transparent-expression-wrappers @babel/helper-split-export-declaration
@babel/helper-string-parser @babel/helper-validator-identifier @babel/helper-validator-option
@babel/helper-wrap-function @babel/helpers @babel/highlight @babel/parser
@babel/plugin-bugfix-firefox-class-in-computed-class-key
@babel/plugin-bugfix-safari-class-field-initializer-scope
@babel/plugin-bugfix-safari-id-destructuring-collision-in-function-expression
@babel/plugin-bugfix-v8-spread-parameters-in-optional-chaining
@babel/plugin-bugfix-v8-static-class-fields-redefine-readonly @babel/plugin-proposal-private-property-in-object
@babel/plugin-syntax-async-generators @babel/plugin-syntax-bigint @babel/plugin-syntax-class-properties
@babel/plugin-syntax-class-static-block @babel/plugin-syntax-dynamic-import
@babel/plugin-syntax-import-assertions @babel/plugin-syntax-import-attributes @babel/plugin-syntax-import-meta
@babel/plugin-syntax-json-strings @babel/plugin-syntax-jsx @babel/plugin-syntax-logical-assignment-operators
@babel/plugin-syntax-nullish-coalescing-operator @babel/plugin-syntax-numeric-separator
@babel/plugin-syntax-object-rest-spread @babel/plugin-syntax-optional-catch-binding
@babel/plugin-syntax-optional-chaining @babel/plugin-syntax-private-property-in-object
@babel/plugin-syntax-top-level-await @babel/plugin-syntax-typescript @babel/plugin-syntax-unicode-sets-regex
@babel/plugin-transform-arrow-functions @babel/plugin-transform-async-generator-functions
@babel/plugin-transform-async-to-generator @babel/plugin-transform-block-scoped-functions
@babel/plugin-transform-block-scoping @babel/plugin-transform-class-properties
@babel/plugin-transform-class-static-block @babel/plugin-transform-classes
@babel/plugin-transform-computed-properties @babel/plugin-transform-destructuring
@babel/plugin-transform-dotall-regex @babel/plugin-transform-duplicate-keys
@babel/plugin-transform-duplicate-named-capturing-groups-regex @babel/plugin-transform-dynamic-import
@babel/plugin-transform-explicit-resource-management @babel/plugin-transform-exponentiation-operator
@babel/plugin-transform-export-namespace-from @babel/plugin-transform-for-of
@babel/plugin-transform-function-name @babel/plugin-transform-json-strings @babel/plugin-transform-literals
@babel/plugin-transform-logical-assignment-operators @babel/plugin-transform-member-expression-literals
@babel/plugin-transform-modules-amd @babel/plugin-transform-modules-commonjs
@babel/plugin-transform-modules-systemjs @babel/plugin-transform-modules-umd
@babel/plugin-transform-named-capturing-groups-regex @babel/plugin-transform-new-target
@babel/plugin-transform-nullish-coalescing-operator @babel/plugin-transform-numeric-separator
@babel/plugin-transform-object-rest-spread @babel/plugin-transform-object-super
@babel/plugin-transform-optional-catch-binding @babel/plugin-transform-optional-chaining
@babel/plugin-transform-parameters @babel/plugin-transform-private-methods
@babel/plugin-transform-private-property-in-object @babel/plugin-transform-property-literals
@babel/plugin-transform-react-display-name @babel/plugin-transform-react-jsx
@babel/plugin-transform-react-jsx-development @babel/plugin-transform-react-jsx-self
@babel/plugin-transform-react-jsx-source @babel/plugin-transform-react-pure-annotations
@babel/plugin-transform-regenerator @babel/plugin-transform-regexp-modifiers
@babel/plugin-transform-reserved-words @babel/plugin-transform-runtime
@babel/plugin-transform-shorthand-properties @babel/plugin-transform-spread @babel/plugin-transform-sticky-regex
@babel/plugin-transform-template-literals @babel/plugin-transform-typeof-symbol
@babel/plugin-transform-typescript @babel/plugin-transform-unicode-escapes
@babel/plugin-transform-unicode-property-regex @babel/plugin-transform-unicode-regex
@babel/plugin-transform-unicode-sets-regex @babel/preset-env @babel/preset-modules @babel/preset-react
@babel/preset-typescript @babel/runtime @babel/template @babel/traverse @babel/types
@backstage/plugin-mcp-actions-backend @bcoe/v8-coverage @benborla29/mcp-server-mysql
@brave/brave-search-mcp-server @brightdata/mcp @browserbasehq/mcp-server-browserbase @browsermcp/mcp
@browserstack/mcp-server @chakra-ui/react-mcp @circleci/mcp-server-circleci @claude-flow/mcp @clerk/mcp-tools
@cloudbase/cloudbase-mcp @cloudflare/mcp-server-cloudflare @cloudflare/playwright-mcp @cocal/google-calendar-mcp
@codacy/codacy-mcp @codefuturist/email-mcp @colors/colors @composio/mcp @cspotcode/source-map-support
@csstools/color-helpers @csstools/css-calc @csstools/css-color-parser @csstools/css-parser-algorithms
@csstools/css-tokenizer @currents/mcp @cyanheads/git-mcp-server @discoveryjs/json-ext @drawio/mcp
@dynatrace-oss/dynatrace-mcp-server @elementor/editor-mcp @emnapi/core @emnapi/runtime @emnapi/wasi-threads
@emotion/memoize @emotion/unitless @ergut/mcp-bigquery-server @eslint-community/eslint-utils
@eslint-community/regexpp @eslint/config-array @eslint/config-helpers @eslint/core @eslint/eslintrc @eslint/mcp
@eslint/object-schema @eslint/plugin-kit @executeautomation/playwright-mcp-server @expo/mcp-tunnel
@floating-ui/core @floating-ui/react-dom @floating-ui/utils @forestadmin/mcp-server @genkit-ai/mcp
@gleanwork/mcp-config-schema @goke/mcp @gongrzhe/server-gmail-autoauth-mcp @gongrzhe/server-travelplanner-mcp
@google-cloud/cloud-run-mcp @google-cloud/gcloud-mcp @google-cloud/observability-mcp @googlemaps/code-assist-mcp
@graphql-tools/utils @grpc/grpc-js @grpc/proto-loader @hapi/hoek @henkey/postgres-mcp-server @heroku/mcp-server
@hono/mcp @hubspot/mcp-server @humanfs/core @humanfs/node @humanwhocodes/config-array
@humanwhocodes/module-importer @humanwhocodes/object-schema @humanwhocodes/retry @img/colour @inquirer/confirm
@inquirer/core @inquirer/external-editor @inquirer/figures @inquirer/type @instantdb/mcp @isaacphi/mcp-gdrive
@isaacs/balanced-match @isaacs/brace-expansion @isaacs/cliui @isaacs/fs-minipass @istanbuljs/load-nyc-config
@istanbuljs/schema @ivotoby/openapi-mcp-server @jest/console @jest/core @jest/environment @jest/expect
@jest/expect-utils @jest/fake-timers @jest/get-type @jest/globals @jest/reporters @jest/schemas @jest/source-map
@jest/test-result @jest/test-sequencer @jest/transform @jest/types @jridgewell/gen-mapping @jridgewell/remapping
@jridgewell/resolve-uri @jridgewell/set-array @jridgewell/source-map @jridgewell/sourcemap-codec
@jridgewell/trace-mapping @kimuson/modular-mcp @kubb/mcp @kubb/plugin-mcp @langchain/mcp-adapters
@larksuiteoapi/lark-mcp @launchdarkly/mcp-server @line/line-bot-mcp-server @mapbox/mcp-server @mastra/mcp
@mastra/mcp-docs-server @mcp-b/global @mcp-b/react-webmcp @mcp-b/transports @mcp-b/webmcp-polyfill
@mcp-b/webmcp-ts-sdk @mcp-b/webmcp-types @mcp-ui/client @mcp-ui/server @mcp-use/cli @mcp-use/inspector
@mcp-use/modelcontextprotocol-sdk @metorial/mcp-sdk-utils @metorial/mcp-server-sdk @metorial/mcp-session
@mintlify/mcp @mobilenext/mobile-mcp @modelcontextprotocol/conformance @modelcontextprotocol/ext-apps
@modelcontextprotocol/inspector @modelcontextprotocol/inspector-cli @modelcontextprotocol/inspector-client
@modelcontextprotocol/inspector-server @modelcontextprotocol/sdk @modelcontextprotocol/server-brave-search
@modelcontextprotocol/server-everything @modelcontextprotocol/server-filesystem
@modelcontextprotocol/server-gdrive @modelcontextprotocol/server-github @modelcontextprotocol/server-gitlab
@modelcontextprotocol/server-google-maps @modelcontextprotocol/server-memory
@modelcontextprotocol/server-postgres @modelcontextprotocol/server-puppeteer @modelcontextprotocol/server-redis
@modelcontextprotocol/server-sequential-thinking @modelcontextprotocol/server-slack
@mondaydotcomorg/atp-mcp-adapter @mondaydotcomorg/monday-api-mcp @mui/mcp @napi-rs/wasm-runtime
@negokaz/excel-mcp-server @nestjs-mcp/server @netlify/mcp @next/eslint-plugin-next
@nexus2520/bitbucket-mcp-server @noble/hashes @nodelib/fs.scandir @nodelib/fs.stat @nodelib/fs.walk
@nolyfill/is-core-module @notionhq/notion-mcp-server @nuxtjs/mcp-toolkit @octokit/auth-token @octokit/core
@octokit/endpoint @octokit/graphql @octokit/openapi-types @octokit/plugin-paginate-rest
@octokit/plugin-rest-endpoint-methods @octokit/request @octokit/request-error @octokit/types
@openai/codex-shell-tool-mcp @openbnb/mcp-server-airbnb @opentelemetry/api-logs
@opentelemetry/context-async-hooks @opentelemetry/core @opentelemetry/instrumentation
@opentelemetry/otlp-exporter-base @opentelemetry/otlp-transformer @opentelemetry/resources
@opentelemetry/sdk-logs @opentelemetry/sdk-metrics @opentelemetry/sdk-trace-base
@opentelemetry/semantic-conventions @orval/mcp @pandacss/mcp @parcel/watcher @payloadcms/plugin-mcp
@perplexity-ai/mcp-server @pinecone-database/mcp @piotr-agier/google-drive-mcp @pkgjs/parseargs @pkgr/core
@playwright/mcp @playwright/test @postman/postman-mcp-server @primeng/mcp @primeuix/mcp
@prmichaelsen/remember-mcp @protobufjs/aspromise @protobufjs/base64 @protobufjs/codegen @protobufjs/eventemitter
@protobufjs/fetch @protobufjs/float @protobufjs/inquire @protobufjs/path @protobufjs/pool @protobufjs/utf8
@radix-ui/primitive @radix-ui/react-arrow @radix-ui/react-collection @radix-ui/react-compose-refs
@radix-ui/react-context @radix-ui/react-dialog @radix-ui/react-direction @radix-ui/react-dismissable-layer
@radix-ui/react-focus-guards @radix-ui/react-focus-scope @radix-ui/react-id @radix-ui/react-label
@radix-ui/react-popper @radix-ui/react-portal @radix-ui/react-presence @radix-ui/react-primitive
@radix-ui/react-roving-focus @radix-ui/react-separator @radix-ui/react-slot @radix-ui/react-use-callback-ref
@radix-ui/react-use-controllable-state @radix-ui/react-use-escape-keydown @radix-ui/react-use-layout-effect
@radix-ui/react-use-rect @radix-ui/react-use-size @radix-ui/react-visually-hidden @radix-ui/rect
@railway/mcp-server @react-grab/mcp @redocly/mcp-typescript-sdk @rekog/mcp-nest @remotion/mcp
@rolldown/pluginutils @rollup/pluginutils @roychri/mcp-server-asana @salesforce/mcp @salesforce/mcp-provider-api
@salesforce/mcp-provider-aura-experts @salesforce/mcp-provider-code-analyzer @salesforce/mcp-provider-devops
@salesforce/mcp-provider-dx-core @salesforce/mcp-provider-lwc-experts
@salesforce/mcp-provider-metadata-enrichment @salesforce/mcp-provider-mobile-web
@salesforce/mcp-provider-scale-products @sentry/core @sentry/mcp-server @shopify/dev-mcp @shortcut/mcp
@siemens/element-mcp @sinclair/typebox @sinonjs/commons @sinonjs/fake-timers @skanda-yutori/mcp-send-email
@smartbear/mcp @smithy/abort-controller @smithy/config-resolver @smithy/core @smithy/credential-provider-imds
@smithy/eventstream-codec @smithy/eventstream-serde-browser @smithy/eventstream-serde-config-resolver
@smithy/eventstream-serde-node @smithy/eventstream-serde-universal @smithy/fetch-http-handler @smithy/hash-node
@smithy/invalid-dependency @smithy/is-array-buffer @smithy/md5-js @smithy/middleware-content-length
@smithy/middleware-endpoint @smithy/middleware-retry @smithy/middleware-serde @smithy/middleware-stack
@smithy/node-config-provider @smithy/node-http-handler @smithy/property-provider @smithy/protocol-http
@smithy/querystring-builder @smithy/querystring-parser @smithy/service-error-classification
@smithy/shared-ini-file-loader @smithy/signature-v4 @smithy/smithy-client @smithy/types @smithy/url-parser
@smithy/util-base64 @smithy/util-body-length-browser @smithy/util-body-length-node @smithy/util-buffer-from
@smithy/util-config-provider @smithy/util-defaults-mode-browser @smithy/util-defaults-mode-node
@smithy/util-endpoints @smithy/util-hex-encoding @smithy/util-middleware @smithy/util-retry @smithy/util-stream
@smithy/util-uri-escape @smithy/util-utf8 @smithy/util-waiter @smithy/uuid @socotra/modelcontextprotocol-sdk
@softeria/ms-365-mcp-server @standard-schema/spec @storybook/addon-mcp @storybook/mcp @stripe/mcp
@supabase/mcp-server-supabase @supabase/mcp-utils @sveltejs/mcp @swc/core @swc/counter @swc/helpers
@sylphx/mcp-server-sdk @sylphx/pdf-reader-mcp @szmarczak/http-timer @tailwindcss/node @tailwindcss/oxide
@tanstack/query-core @tanstack/react-query @testing-library/jest-dom @testing-library/react
@testing-library/user-event @testsprite/testsprite-mcp @theia/ai-mcp @tiberriver256/mcp-server-azure-devops
@tootallnate/once @tootallnate/quickjs-emscripten @traceloop/instrumentation-mcp @tsconfig/node10
@tsconfig/node12 @tsconfig/node14 @tsconfig/node16 @tybys/wasm-util @types/aria-query @types/babel__core
@types/babel__generator @types/babel__template @types/babel__traverse @types/body-parser @types/chai
@types/connect @types/d3-array @types/d3-color @types/d3-ease @types/d3-interpolate @types/d3-path
@types/d3-scale @types/d3-shape @types/d3-time @types/d3-timer @types/debug @types/deep-eql @types/eslint
@types/eslint-scope @types/estree @types/express @types/express-serve-static-core @types/graceful-fs @types/hast
@types/http-errors @types/istanbul-lib-coverage @types/istanbul-lib-report @types/istanbul-reports @types/jest
@types/jsdom @types/json-schema @types/json5 @types/jsonwebtoken @types/lodash @types/mdast @types/mime
@types/minimatch @types/node @types/normalize-package-data @types/parse-json @types/prop-types
@types/range-parser @types/react @types/react-dom @types/resolve @types/retry @types/semver @types/send
@types/serve-static @types/stack-utils @types/tough-cookie @types/trusted-types @types/unist @types/uuid
@types/yargs @types/yargs-parser @types/yauzl @typescript-eslint/eslint-plugin @typescript-eslint/parser
@typescript-eslint/project-service @typescript-eslint/scope-manager @typescript-eslint/tsconfig-utils
@typescript-eslint/type-utils @typescript-eslint/types @typescript-eslint/typescript-estree
@typescript-eslint/utils @typescript-eslint/visitor-keys @ungap/structured-clone @upstash/context7-mcp
@vercel/mcp-adapter @vitejs/plugin-react @vitest/expect @vitest/mocker @vitest/pretty-format @vitest/runner
@vitest/snapshot @vitest/utils @voltagent/mcp-server @webassemblyjs/floating-point-hex-parser
@webassemblyjs/helper-api-error @webassemblyjs/helper-buffer @webassemblyjs/helper-numbers
@webassemblyjs/helper-wasm-bytecode @webassemblyjs/helper-wasm-section @webassemblyjs/ieee754
@webassemblyjs/leb128 @webassemblyjs/utf8 @webassemblyjs/wasm-edit @webassemblyjs/wasm-gen
@webassemblyjs/wasm-opt @webassemblyjs/wasm-parser @webassemblyjs/wast-printer @winor30/mcp-server-datadog
@wong2/mcp-cli @xtuc/ieee754 @xtuc/long @z_ai/mcp-server @zeit/schemas @zereight/mcp-gitlab @zuplo/mcp abab
abbrev abort-controller accepts acorn acorn-globals acorn-import-attributes acorn-jsx acorn-walk add-mcp
agent-base agentation-mcp aggregate-error airtable-mcp-server ajv-formats ajv-keywords ansi-align ansi-colors
ansi-escapes ansi-regex ansi-styles any-promise anymatch aproba arch archiver archiver-utils are-we-there-yet
argocd-mcp argparse aria-hidden aria-query array-buffer-byte-length array-flatten array-includes array-union
array.prototype.findlast array.prototype.findlastindex array.prototype.flat array.prototype.flatmap
array.prototype.tosorted arraybuffer.prototype.slice arrify asap asn1 assert-plus assertion-error ast-types
ast-types-flow astral-regex async async-function async-retry asynckit at-least-node autoprefixer
available-typed-arrays aws-sign2 aws4 axe-core axios axobject-query babel-jest babel-loader
babel-plugin-istanbul babel-plugin-jest-hoist babel-plugin-macros babel-plugin-polyfill-corejs2
babel-plugin-polyfill-corejs3 babel-plugin-polyfill-regenerator babel-preset-current-node-syntax
babel-preset-jest backlog-mcp-server bail balanced-match bare-events base64-js baseline-browser-mapping
basic-ftp bcrypt-pbkdf before-after-hook big.js bignumber.js binary-extensions bluebird bn.js body-parser
boolbase bowser boxen brace-expansion braces browserslist bs-logger bser buffer buffer-crc32
buffer-equal-constant-time buffer-from bundle-name busboy bytes cacache cacheable-lookup cacheable-request
call-bind call-bind-apply-helpers call-bound callsites camel-case camelcase camelcase-css caniuse-lite caseless
chai chalk chalk-template char-regex character-entities character-entities-legacy character-reference-invalid
chardet check-error chokidar chownr chrome-devtools-mcp chrome-trace-event ci-info cjs-module-lexer classnames
claude-talk-to-figma-mcp clean-css clean-stack cli-boxes cli-cursor cli-spinners cli-table3 cli-truncate
cli-width client-only clipboardy cliui clone clone-deep clsx collect-v8-coverage color color-convert color-name
color-string colorette colors combined-stream comma-separated-tokens commander commondir component-emitter
composiohq-modelcontextprotocol-typescript-sdk compress-commons compressible compression concat-map
concat-stream confbox consola content-disposition content-type convert-source-map cookie cookie-signature
core-js core-js-compat core-util-is cors cosmiconfig crc-32 crc32-stream create-require cross-fetch cross-spawn
crypto-random-string css-loader css-select css-tree css-what css.escape cssesc csso cssom cssstyle csstype
d3-array d3-color d3-ease d3-format d3-interpolate d3-path d3-scale d3-shape d3-time d3-time-format d3-timer
damerau-levenshtein dashdash data-uri-to-buffer data-urls data-view-buffer data-view-byte-length
data-view-byte-offset dataforseo-mcp-server date-fns dayjs debug decamelize decimal.js
decode-named-character-reference decode-uri-component decompress-response dedent deep-eql deep-equal deep-extend
deep-is deepmerge default-browser default-browser-id defaults defer-to-connect define-data-property
define-lazy-prop define-properties define-property degenerator delayed-stream delegates denque depd dequal
destroy detect-indent detect-libc detect-newline detect-node detect-node-es didyoumean diff diff-sequences
dir-glob doctrine dom-accessibility-api dom-helpers dom-serializer domelementtype domexception domhandler
dompurify domutils dot-case dot-prop dotenv dotenv-expand drawio-mcp-server dunder-proto duplexer duplexify
eastasianwidth ecc-jsbn ecdsa-sig-formatter ee-first electron-to-chromium elysia-mcp emittery emoji-regex
emojis-list encodeurl encoding end-of-stream enhanced-resolve enquirer entities env-paths environment err-code
error-ex error-stack-parser es-abstract es-define-property es-errors es-iterator-helpers es-module-lexer
es-object-atoms es-set-tostringtag es-shim-unscopables es-to-primitive esbuild escalade escape-html
escape-string-regexp escodegen eslint eslint-config-next eslint-config-prettier eslint-import-resolver-node
eslint-import-resolver-typescript eslint-module-utils eslint-plugin-import eslint-plugin-jsx-a11y
eslint-plugin-prettier eslint-plugin-react eslint-plugin-react-hooks eslint-scope eslint-utils
eslint-visitor-keys espree esprima esquery esrecurse estraverse estree-walker esutils etag event-target-shim
eventemitter3 events eventsource eventsource-parser exa-mcp-server execa exit expect expect-type expo-mcp
exponential-backoff express express-rate-limit extend extend-shallow external-editor extract-zip extsprintf
fast-deep-equal fast-diff fast-equals fast-fifo fast-glob fast-json-stable-stringify fast-levenshtein
fast-safe-stringify fast-uri fast-xml-parser fastest-levenshtein fastify-mcp fastq faye-websocket fb-watchman
fd-slicer fdir fetch-blob fetcher-mcp fflate figma-console-mcp figma-developer-mcp figma-mcp-server figures
file-entry-cache file-type file-uri-to-path filelist fill-range finalhandler find-cache-dir find-up
firecrawl-mcp flat flat-cache flatted flightradar-mcp-server follow-redirects for-each foreground-child
forever-agent form-data formdata-polyfill forwarded fraction.js framer-motion fresh fs-constants fs-extra
fs-minipass fs.realpath fsevents function-bind function.prototype.name functions-have-names gauge gaxios gcp-mcp
gcp-metadata generator-function gensync get-caller-file get-east-asian-width get-intrinsic get-nonce
get-package-type get-proto get-stream get-symbol-description get-tsconfig get-uri getpass github-mcp-server glob
glob-parent glob-to-regexp global-modules global-prefix globals globalthis globby google-auth-library
google-logging-utils gopd graceful-fs graphemer graphql gtoken handlebars has-bigints has-flag
has-property-descriptors has-proto has-symbols has-tostringtag has-value has-values hasown hermes-estree
hermes-parser hoist-non-react-statics hono hono-mcp-server-sse-transport hosted-git-info hostinger-api-mcp
howtocook-mcp html-encoding-sniffer html-entities html-escaper htmlparser2 http-cache-semantics http-errors
http-parser-js http-proxy http-proxy-agent http-proxy-middleware http-signature http2-wrapper https-proxy-agent
human-signals husky iconv-lite icss-utils ieee754 ignore image-size immediate immer immutable import-fresh
import-in-the-middle import-local imurmurhash indent-string inflight inherits inline-style-parser inquirer
internal-slot internmap interpret invariant ios-simulator-mcp ip-address ipaddr.js is-accessor-descriptor
is-alphabetical is-alphanumerical is-arguments is-array-buffer is-arrayish is-async-function is-bigint
is-binary-path is-boolean-object is-buffer is-callable is-ci is-core-module is-data-descriptor is-data-view
is-date-object is-decimal is-descriptor is-docker is-extendable is-extglob is-finalizationregistry
is-fullwidth-code-point is-generator-fn is-generator-function is-glob is-hexadecimal is-inside-container
is-interactive is-map is-negative-zero is-number is-number-object is-obj is-path-inside is-plain-obj
is-plain-object is-port-reachable is-potential-custom-element-name is-promise is-regex is-set
is-shared-array-buffer is-stream is-string is-symbol is-typed-array is-typedarray is-unicode-supported
is-weakmap is-weakref is-weakset is-windows is-wsl isarray isexe isobject isstream istanbul-lib-coverage
istanbul-lib-instrument istanbul-lib-report istanbul-lib-source-maps istanbul-reports iterator.prototype
jackspeak jake jest jest-changed-files jest-circus jest-cli jest-config jest-diff jest-docblock jest-each
jest-environment-jsdom jest-environment-node jest-get-type jest-haste-map jest-leak-detector jest-matcher-utils
jest-message-util jest-mock jest-pnp-resolver jest-regex-util jest-resolve jest-resolve-dependencies jest-runner
jest-runtime jest-snapshot jest-util jest-validate jest-watcher jest-worker jiti jose jquery js-tokens js-yaml
jsbn jsdom jsesc json-bigint json-buffer json-parse-even-better-errors json-schema json-schema-traverse
json-stable-stringify-without-jsonify json-stringify-safe json5 jsonc-parser jsonfile jsonwebtoken jsprim
jsx-ast-utils jszip keyv kind-of kleur kubernetes-mcp-server kubernetes-mcp-server-linux-amd64
language-subtag-registry language-tags leven levn lightningcss lilconfig linear-mcp lines-and-columns linkify-it
listr2 load-json-file loader-runner loader-utils locate-path lodash lodash-es lodash.camelcase lodash.clonedeep
lodash.debounce lodash.defaults lodash.includes lodash.isboolean lodash.isinteger lodash.isnumber
lodash.isplainobject lodash.isstring lodash.memoize lodash.merge lodash.once lodash.uniq log-symbols log-update
long longest-streak loose-envify loupe lower-case lowercase-keys lru-cache lucide-react luxon lz-string
magic-string make-dir make-error make-fetch-happen makeerror map-obj marked math-intrinsics mcp mcp-atlassian
mcp-auth mcp-client mcp-client-capabilities mcp-deepwiki mcp-evals mcp-framework mcp-handler mcp-hello-world
mcp-http-server mcp-lite mcp-mermaid mcp-proxy mcp-remote mcp-searxng mcp-server-code-runner
mcp-server-kubernetes mcp-test-client mcp-use mdast-util-from-markdown mdast-util-to-hast mdast-util-to-markdown
mdast-util-to-string mdn-data media-typer memfs memoize-one meow merge-descriptors merge-stream merge2 methods
micromark micromark-core-commonmark micromark-factory-destination micromark-factory-label
micromark-factory-space micromark-factory-title micromark-factory-whitespace micromark-util-character
micromark-util-chunked micromark-util-classify-character micromark-util-combine-extensions
micromark-util-decode-numeric-character-reference micromark-util-decode-string micromark-util-encode
micromark-util-html-tag-name micromark-util-normalize-identifier micromark-util-resolve-all
micromark-util-sanitize-uri micromark-util-subtokenize micromark-util-symbol micromark-util-types micromatch
middy-mcp mime mime-db mime-types mimic-fn mimic-function mimic-response min-indent minimalistic-assert
minimatch minimist minipass minipass-collect minipass-fetch minipass-flush minipass-pipeline minipass-sized
minizlib mkdirp mkdirp-classic module-details-from-path moment mongodb-mcp-server motion-dom motion-utils mrmime
mute-stream n8n-mcp n8n-nodes-mcp nanoid napi-postinstall natural-compare negotiator neo-async netmask next
next-devtools-mcp no-case node-addon-api node-domexception node-fetch node-forge node-gyp node-gyp-build
node-int64 node-releases nopt normalize-package-data normalize-path normalize-range normalize-url notebooklm-mcp
notion-mcp-server npm-normalize-package-bin npm-package-arg npm-run-path npmlog nth-check nuxt-mcp nuxt-mcp-dev
nwsapi nx-mcp object-assign object-hash object-inspect object-is object-keys object.assign object.entries
object.fromentries object.groupby object.values on-finished on-headers once onetime open openapi-mcp-generator
optionator os-tmpdir own-keys p-cancelable p-finally p-limit p-locate p-map p-retry p-timeout p-try
pac-proxy-agent pac-resolver package-json-from-dist pako param-case parent-module parse-entities parse-json
parse5 parse5-htmlparser2-tree-adapter parseurl pascal-case path-browserify path-exists path-is-absolute
path-is-inside path-key path-parse path-scurry path-to-regexp path-type pathe pathval pend performance-now
pg-connection-string pg-int8 pg-protocol pg-types picocolors picomatch pidtree pify pino pino-abstract-transport
pino-std-serializers pirates pkg-dir pkg-types playwright playwright-core playwright-mcp pluralize pngjs pnpm
possible-typed-array-names postcss postcss-import postcss-js postcss-load-config postcss-modules-extract-imports
postcss-modules-local-by-default postcss-modules-scope postcss-modules-values postcss-nested
postcss-selector-parser postcss-value-parser postgres-array postgres-bytea postgres-date postgres-interval
prelude-ls prettier prettier-linter-helpers pretty-bytes pretty-format proc-log process process-nextick-args
process-warning progress promise promise-retry prompts prop-types property-information protobufjs proxy-addr
proxy-agent proxy-from-env pump punycode pure-rand querystringify queue-microtask quick-lru randombytes
range-parser raw-body react react-dom react-hook-form react-is react-refresh react-remove-scroll
react-remove-scroll-bar react-router react-router-dom react-style-singleton react-transition-group read-cache
read-pkg read-pkg-up readable-stream readdirp recast rechoir reddit-mcp-buddy redent redux reflect-metadata
reflect.getprototypeof regenerate regenerate-unicode-properties regenerator-runtime regexp.prototype.flags
regexpu-core registry-auth-token registry-url regjsgen regjsparser remark-parse repeat-string replicate-mcp
require-directory require-from-string require-in-the-middle require-main-filename requires-port reselect resolve
resolve-cwd resolve-from resolve-pkg-maps resolve.exports responselike restore-cursor retry reusify rfdc rimraf
robloxstudio-mcp rollup router rrweb-cssom run-applescript run-async run-parallel rxjs safe-array-concat
safe-buffer safe-push-apply safe-regex-test safe-stable-stringify safer-buffer sass saxes scheduler schema-utils
semver send serialize-javascript serper-search-scrape-mcp-server serve serve-handler serve-static set-blocking
set-cookie-parser set-function-length set-function-name set-proto setimmediate setprototypeof shallow-clone
sharp shebang-command shebang-regex shell-quote side-channel side-channel-list side-channel-map
side-channel-weakmap siginfo signal-exit simple-swizzle sirv sisteransi slack-mcp-server
slack-mcp-server-linux-amd64 slash slice-ansi smart-buffer socks socks-proxy-agent sonic-boom source-map
source-map-js source-map-support space-separated-tokens spdx-correct spdx-exceptions spdx-expression-parse
spdx-license-ids split2 sprintf-js sshpk ssri stable-hash stack-trace stack-utils stackback stackframe statuses
std-env stop-iteration-iterator stream-shift streamsearch streamx string-argv string-length string-width
string.prototype.includes string.prototype.matchall string.prototype.repeat string.prototype.trim
string.prototype.trimend string.prototype.trimstart string_decoder strip-ansi strip-bom strip-final-newline
strip-indent strip-json-comments strnum style-loader style-to-object styled-jsx stylis sucrase supabase-mcp
supports-color supports-hyperlinks supports-preserve-symlinks-flag svgo symbol-tree synckit tailwind-merge
tailwindcss tapable tar-fs tar-stream tavily-mcp telecom-mas-agent terser terser-webpack-plugin test-exclude
text-decoder text-table thenify thenify-all thread-stream through through2 tiny-invariant tinybench tinyexec
tinyglobby tinypool tinyrainbow tinyspy tldts tldts-core tmpl to-fast-properties to-regex-range toidentifier
totalist tough-cookie tr46 tree-kill trough ts-api-utils ts-interface-checker ts-jest ts-node tsconfig-paths
tslib tsutils tunnel-agent tweetnacl type-check type-detect type-fest type-is typed-array-buffer
typed-array-byte-length typed-array-byte-offset typed-array-length typedarray typedarray-to-buffer typescript
typescript-eslint typescript-mcp ua-parser-js uc.micro uglify-js unbox-primitive underscore undici undici-types
unicode-canonical-property-names-ecmascript unicode-match-property-ecmascript
unicode-match-property-value-ecmascript unicode-property-aliases-ecmascript unicorn-magic unified
unique-filename unique-slug unique-string unist-util-is unist-util-position unist-util-stringify-position
unist-util-visit unist-util-visit-parents universal-user-agent universalify unpipe unplugin unrs-resolver upath
update-browserslist-db update-check uri-js url-parse use-callback-ref use-mcp use-sidecar
use-sync-external-store util util-deprecate utils-merge uuid v8-compile-cache-lib v8-to-istanbul
validate-npm-package-license validate-npm-package-name validator vary verror vfile vfile-message vite vite-node
vite-plugin-mcp vitest w3c-xmlserializer walker watchpack wcwidth web-streams-polyfill webidl-conversions
webpack webpack-dev-middleware webpack-merge webpack-sources webpack-virtual-modules websocket-driver
websocket-extensions whatwg-encoding whatwg-mimetype whatwg-url which which-boxed-primitive which-builtin-type
which-collection which-module which-typed-array why-is-node-running widest-line winston word-wrap wordwrap
workers-mcp wrap-ansi wrappy write-file-atomic xml-name-validator xml2js xmlbuilder xmlchars xtend y18n yallist
yaml yargs yargs-parser yauzl yocto-queue yoctocolors-cjs zip-stream zod-to-json-schema zod-validation-error
zustand zwitch
`
    .trim()
    .split(/\s+/),
);
