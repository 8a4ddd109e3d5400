/** Oldest uv on the search path that is taken as it is: the first one that passes the tests of this folder. */
export const OLDEST_UV = [0, 9, 0] as const;

export interface UvWheel {
  readonly file: string;
  readonly sha256: string;
  /** In bytes. */
  readonly size: number;
}

/** The uv that is fetched where none is installed: its wheels as PyPI has them, by `process.platform`, `process.arch` and C library. */
export const UV_VERSION = '0.13.8';
export const UV_WHEELS: Readonly<Record<string, UvWheel>> = {
  'linux-x64-glibc': {
    file: 'uv-0.13.8-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl',
    sha256: 'e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984',
    size: 17389450,
  },
  'linux-x64-musl': {
    file: 'uv-0.13.8-py3-none-musllinux_1_1_x86_64.whl',
    sha256: '29451c60f5e8b07403e0a175d5229efc36b0289b34143ff4aaa499a5dd52553a',
    size: 19139972,
  },
  'linux-arm64-glibc': {
    file: 'uv-0.13.8-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl',
    sha256: '0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d',
    size: 17953056,
  },
  'linux-arm64-musl': {
    file: 'uv-0.13.8-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl',
    sha256: '0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d',
    size: 17953056,
  },
  'darwin-arm64': {
    file: 'uv-0.13.8-py3-none-macosx_11_0_arm64.whl',
    sha256: '62b6943c7fd64fac6854f780bea6e0359e5a5bc3241f83ee357bb38276afac49',
    size: 14483721,
  },
  'darwin-x64': {
    file: 'uv-0.13.8-py3-none-macosx_10_12_x86_64.whl',
    sha256: 'b7124ca1956ec2e476a1003ea5715a15f0266afaec37f4dc9c6972ba8183e6d1',
    size: 17374577,
  },
};
