import type { BaseImage, Lock, Platform } from '../../builders/index.ts';
import { architectureOf } from '../../builders/index.ts';
import { McpBuildError } from '../../errors/index.ts';
import type { LayoutStore } from '../../registry/index.ts';
