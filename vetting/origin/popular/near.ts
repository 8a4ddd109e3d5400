/**
 * Names that look like a popular one and are well known themselves: of all that `resembles` finds near a popular name, what was downloaded a
 * million times a month and more (npm), or was among the 5,000 most downloaded projects (PyPI), in November 2026, less five of no clear purpose.
 * They excuse themselves and nothing else: what looks like one of them is not suspect for it.
 */
export const NEAR_NPM: ReadonlySet<string> = new Set(
  `
@aws-cdk/core @aws-crypto/crc32c @aws-sdk/client-ssm @types/babel-core @types/babel-generator @types/babel-template
@types/babel-traverse @webassemblyjs/wast-parser ansicolors ansistyles babel-code-frame babel-core babel-generator
babel-helper-function-name babel-helper-optimise-call-expression babel-helper-remap-async-to-generator
babel-helper-replace-supers babel-helpers babel-plugin-syntax-async-generators babel-plugin-syntax-class-properties
babel-plugin-syntax-dynamic-import babel-plugin-syntax-jsx babel-plugin-syntax-object-rest-spread
babel-plugin-transform-async-generator-functions babel-plugin-transform-async-to-generator
babel-plugin-transform-class-properties babel-plugin-transform-exponentiation-operator
babel-plugin-transform-member-expression-literals babel-plugin-transform-object-rest-spread
babel-plugin-transform-property-literals babel-plugin-transform-react-display-name babel-plugin-transform-react-jsx
babel-plugin-transform-react-jsx-self babel-plugin-transform-react-jsx-source babel-plugin-transform-regenerator
babel-plugin-transform-runtime babel-preset-env babel-preset-react babel-runtime babel-template babel-traverse
babel-types binaryextensions bower charset clipboard colord dargs dom-serialize error fclone findup flatten foreach
graphiql has-own ip-regex is-blob is-object is-regexp jsdoc jsonp jsonschema just-diff level mem-fs memjs mpath mquery
murmurhash nprogress one-time parse-url parsejson parseuri pascalcase pegjs png-js postcss-jsx postcss-values-parser
preact random-bytes rollup-pluginutils sockjs stream stylus tldjs trouter ts-map tslint tslint-config-prettier
uglify-es urijs vasync wouter xml-js xpath
`
    .trim()
    .split(/\s+/),
);

export const NEAR_PYPI: ReadonlySet<string> = new Set(
  `
apache-airflow-providers-sftp cchardet dparse googleads grapheme grimp gsutil hjson html-text httpr jiwer jsonpath
mypy-boto3-drs mypy-boto3-ds mypy-boto3-ecr mypy-boto3-ecs mypy-boto3-ses mypy-boto3-sns mypy-boto3-sts ncclient
parsel parsy pathy pyaml pydoe pymupdfb pyshark scapy schedula sparse spython sqlglotc tablib tensorboardx unicorn
usort willow
`
    .trim()
    .split(/\s+/),
);
