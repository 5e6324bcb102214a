import type { KernelVersion } from "./kernelService.ts"

/** Parses what `uname -r` prints. A missing patch level is 0; a text with no number at all gives 0.0.0. */
export const parseVersion = (release: string): KernelVersion => {
  const match = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(release)
  return {
    major: Number(match?.[1] ?? 0),
    minor: Number(match?.[2] ?? 0),
    patch: Number(match?.[3] ?? 0),
    release
  }
}
