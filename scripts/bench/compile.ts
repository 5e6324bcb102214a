import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { LeftOut } from "./work.ts"
import type { Workshop } from "./workshop.ts"

const cc = (args: ReadonlyArray<string>) => spawnSync("cc", args, { encoding: "utf8" })

/** Whether a program that includes a header and links a library can be built: what else fails is an error of ours. */
const has = ({ temporary }: Workshop, library: { readonly header: string; readonly link: string }): boolean => {
  const source = join(temporary, "probe.c")
  writeFileSync(source, `#include <${library.header}>\nint main(void) { return 0; }\n`)
  return cc([source, "-o", join(temporary, "probe"), library.link]).status === 0
}

/**
 * Compiles a program of `c/` with `cc -O2`: the path of the executable. Fails with `LeftOut` where there is no compiler,
 * or no libbpf for a program that needs it.
 */
export const compile = (workshop: Workshop, name: string, options?: { readonly libbpf: boolean }) =>
  Effect.suspend(() => {
    if (cc(["--version"]).error !== undefined) {
      return Effect.fail(
        new LeftOut({ why: "no C compiler `cc`: install gcc (Debian, Ubuntu: apt install gcc libc6-dev)" })
      )
    }
    const links = options?.libbpf === true ? ["-lbpf"] : []
    if (links.length > 0 && !has(workshop, { header: "bpf/libbpf.h", link: "-lbpf" })) {
      return Effect.fail(
        new LeftOut({ why: "no libbpf: install it (Debian, Ubuntu: apt install libbpf-dev; Fedora: libbpf-devel)" })
      )
    }
    const executable = join(workshop.temporary, name)
    const source = join(workshop.root, "scripts/bench/c", `${name}.c`)
    const { status, stderr } = cc(["-O2", "-Wall", "-Wextra", "-Werror", source, "-o", executable, ...links])
    return status === 0 ? Effect.succeed(executable) : Effect.fail(new Error(`cc ${name}.c: ${stderr}`))
  })

/**
 * Builds a program of `go/` with cilium/ebpf: the path of the executable. Go finds the library in GOPATH, which is where
 * Debian's package puts it unless the environment says otherwise.
 */
export const compileGo = (workshop: Workshop, name: string) =>
  Effect.suspend(() => {
    const executable = join(workshop.temporary, `go-${name}`)
    const source = join(workshop.root, "scripts/bench/go", `${name}.go`)
    const { error, status } = spawnSync("go", ["build", "-o", executable, source], {
      env: { GOPATH: "/usr/share/gocode", ...process.env, GO111MODULE: "off", GOCACHE: join(workshop.temporary, "go") }
    })
    return error === undefined && status === 0
      ? Effect.succeed(executable)
      : Effect.fail(
        new LeftOut({
          why: "no Go with cilium/ebpf in GOPATH (Debian, Ubuntu: apt install golang golang-github-cilium-ebpf-dev)"
        })
      )
  })
