// Pins in a BPF file system of the test's own, mounted in a folder that is removed after.
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { expect } from "vitest"
import { bpf_cmd } from "../../src/abi/generated/enums.ts"
import {
  ArrayMap,
  Asm,
  BpfFs,
  BpfMap,
  BytesMap,
  HashMap,
  Kernel,
  Layout,
  MapOfMaps,
  Program,
  ProgramSpec
} from "../../src/index.ts"
import { acquireBpfFs, acquireFolder } from "../support/folders.ts"
import type { Test } from "../support/kernels.ts"

const definition = HashMap.define({ name: "pinned", key: Layout.u32, value: Layout.u32, maxEntries: 8 })

const failure = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.flip(effect)

export const pinning = (test: Test): void => {
  test("a BPF file system is mounted where there is none, once, and unmounted with what is pinned in it", () =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const folder = yield* acquireFolder
      expect(yield* BpfFs.isMounted(folder)).toBe(false)
      yield* BpfFs.ensure(folder)
      yield* Effect.gen(function*() {
        expect(yield* BpfFs.isMounted(folder)).toBe(true)
        yield* BpfFs.ensure(folder)
        yield* Effect.scoped(Effect.flatMap(BpfMap.create(definition), (map) => BpfMap.pin(map, `${folder}/map`)))
        yield* Effect.scoped(BpfMap.openPinned(definition, `${folder}/map`))
      }).pipe(Effect.ensuring(Effect.sync(() => kernel.files.unmount(folder))))
      // One mount, not two.
      expect(yield* BpfFs.isMounted(folder)).toBe(false)
      expect(yield* failure(BpfMap.openPinned(definition, `${folder}/map`))).toMatchObject({ code: "ENOENT" })
    }))

  test("a folder that is missing is made for the file system, but not those above it", () =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const outer = yield* acquireBpfFs
      expect(yield* failure(BpfFs.isMounted(`${outer}/none`))).toMatchObject({
        _tag: "SystemCallError",
        code: "ENOENT"
      })
      expect(yield* failure(BpfFs.ensure(`${outer}/a/b`))).toMatchObject({ call: "mkdir", code: "ENOENT" })
      yield* BpfFs.ensure(`${outer}/a`)
      expect(yield* BpfFs.isMounted(`${outer}/a`)).toBe(true)
      kernel.files.unmount(`${outer}/a`)
    }))

  test("a pinned map outlives its scope with its data, until it is unpinned", () =>
    Effect.gen(function*() {
      const path = `${yield* acquireBpfFs}/map`
      const id = yield* Effect.scoped(Effect.gen(function*() {
        const map = yield* BpfMap.create(definition)
        yield* map.update(1, 10)
        yield* BpfMap.pin(map, path)
        return (yield* BpfMap.info(map)).id
      }))
      yield* Effect.scoped(Effect.gen(function*() {
        const map = yield* BpfMap.openPinned(definition, path)
        expect(yield* map.lookup(1)).toEqual(Option.some(10))
        expect((yield* BpfMap.info(map)).id).toBe(id)
        expect((yield* BpfMap.info(yield* BytesMap.openPinned(path))).id).toBe(id)
        yield* map.update(2, 20)
        // What is unpinned lives on as long as someone has it.
        expect(yield* BpfFs.unpin(path)).toBe(true)
        expect(yield* BpfFs.unpin(path)).toBe(false)
        expect(yield* map.lookup(2)).toEqual(Option.some(20))
      }))
      expect(yield* failure(BpfMap.openPinned(definition, path))).toMatchObject({ code: "ENOENT" })
    }))

  test("pinned creates a map and pins it, or opens the one that is there", () =>
    Effect.gen(function*() {
      const path = `${yield* acquireBpfFs}/map`
      const first = yield* BpfMap.pinned(definition, path)
      yield* first.update(1, 1)
      const second = yield* BpfMap.pinned(definition, path)
      expect(yield* second.lookup(1)).toEqual(Option.some(1))
      expect((yield* BpfMap.info(second)).id).toBe((yield* BpfMap.info(first)).id)
    }))

  test("of two that create and pin at once, one pins, and both have the same map", () =>
    Effect.gen(function*() {
      const path = `${yield* acquireBpfFs}/map`
      const kernel = yield* Kernel.Kernel
      const outer = yield* Effect.scope
      // Between the look for a pin and the pinning, another process is faster.
      let faster: BpfMap.BpfMap | undefined
      const racing: Kernel.KernelService = {
        ...kernel,
        bpf: {
          ...kernel.bpf,
          call: (command, attr, size) => {
            const result = kernel.bpf.call(command, attr, size)
            if (command === bpf_cmd.BPF_OBJ_GET && result < 0 && faster === undefined) {
              faster = Effect.runSync(
                BpfMap.pinned(definition, path).pipe(
                  Effect.provideService(Kernel.Kernel, kernel),
                  Scope.provide(outer)
                )
              )
            }
            return result
          }
        }
      }
      const map = yield* BpfMap.pinned(definition, path).pipe(Effect.provideService(Kernel.Kernel, racing))
      expect(faster).toBeDefined()
      expect((yield* BpfMap.info(map)).id).toBe((yield* BpfMap.info(faster!)).id)
    }))

  test("a pinned map that is another one is refused, with both numbers of each field, and stays pinned", () =>
    Effect.gen(function*() {
      const path = `${yield* acquireBpfFs}/map`
      yield* BpfMap.pinned(definition, path)
      const other = HashMap.define({ name: "pinned", key: Layout.u64, value: Layout.u32, maxEntries: 9 })
      for (const open of [BpfMap.openPinned(other, path), BpfMap.pinned(other, path)]) {
        const error = yield* failure(open)
        expect(error).toMatchObject({
          _tag: "MapMismatch",
          found: `pinned at ${path}`,
          differences: [
            { field: "keySize", expected: "8", actual: "4" },
            { field: "maxEntries", expected: "9", actual: "8" }
          ]
        })
        expect(error.message).toContain("maxEntries: expected 9, found 8")
      }
      yield* BpfMap.openPinned(definition, path)
    }))

  test("a path that is taken says what to do, and pins no second map", () =>
    Effect.gen(function*() {
      const path = `${yield* acquireBpfFs}/map`
      const first = yield* BpfMap.create(definition)
      yield* BpfMap.pin(first, path)
      const error = yield* failure(BpfMap.pin(yield* BpfMap.create(definition), path))
      expect(error).toMatchObject({ _tag: "SystemCallError", command: "BPF_OBJ_PIN", code: "EEXIST" })
      expect(error.message).toContain("unpin it first")
      const { id } = yield* BpfMap.info(yield* BpfMap.openPinned(definition, path))
      expect(id).toBe((yield* BpfMap.info(first)).id)
      // One map may have several pins.
      yield* BpfMap.pin(first, `${path}_again`)
      expect(yield* BpfFs.unpin(path)).toBe(true)
      yield* BpfMap.openPinned(definition, `${path}_again`)
    }))

  test("a path outside of a BPF file system is refused with the hint that says so", () =>
    Effect.gen(function*() {
      const plain = yield* acquireFolder
      const map = yield* BpfMap.create(definition)
      const error = yield* failure(BpfMap.pin(map, `${plain}/map`))
      expect(error).toMatchObject({ _tag: "SystemCallError", command: "BPF_OBJ_PIN" })
      expect(error.message).toContain(`${plain} is in no BPF file system: see BpfFs.ensure`)
      const missing = yield* failure(BpfMap.pin(map, `${plain}/none/map`))
      expect(missing.message).toContain(`The folder ${plain}/none does not exist`)
      expect(yield* failure(BpfMap.openPinned(definition, plain))).toMatchObject({ _tag: "SystemCallError" })
      expect(yield* failure(BpfMap.openPinned(definition, `${plain}/map`))).toMatchObject({ code: "ENOENT" })
    }))

  test("what is no pin is not removed", () =>
    Effect.gen(function*() {
      const plain = yield* acquireFolder
      const bpffs = yield* acquireBpfFs
      const refused = yield* failure(BpfFs.unpin("/proc"))
      expect(refused).toMatchObject({ _tag: "SystemCallError", call: "unlink", code: "EPERM" })
      expect(refused.message).toContain("nothing was removed")
      expect(yield* failure(BpfFs.unpin(plain))).toMatchObject({ code: "EPERM" })
      expect(yield* BpfFs.unpin(`${bpffs}/none`)).toBe(false)
      yield* BpfFs.makeFolder(`${bpffs}/folder`)
      yield* BpfFs.makeFolder(`${bpffs}/folder`)
      expect(yield* failure(BpfFs.unpin(`${bpffs}/folder`))).toMatchObject({ _tag: "SystemCallError", call: "unlink" })
      const map = yield* BpfMap.create(definition)
      yield* BpfMap.pin(map, `${bpffs}/folder/map`)
      expect(yield* BpfFs.unpin(`${bpffs}/folder/map`)).toBe(true)
    }))

  test("paths that no system call takes are refused before it is made", () =>
    Effect.gen(function*() {
      const map = yield* BpfMap.create(definition)
      for (const path of ["", "/a\0b", `/${"a".repeat(4096)}`, undefined as never, 5 as never]) {
        const effects: ReadonlyArray<Effect.Effect<unknown, unknown, Kernel.Kernel | Scope.Scope>> = [
          BpfMap.pin(map, path),
          BpfMap.openPinned(definition, path),
          BytesMap.openPinned(path),
          BpfFs.makeFolder(path),
          BpfFs.unpin(path),
          ...(path === undefined ? [] : [BpfFs.ensure(path), BpfFs.isMounted(path)])
        ]
        for (const effect of effects) {
          expect(yield* failure(effect)).toMatchObject({ _tag: "InvalidArgument", field: "path" })
        }
      }
    }))

  test("a program that is pinned is no map", () =>
    Effect.gen(function*() {
      const path = `${yield* acquireBpfFs}/program`
      const program = yield* Program.load(ProgramSpec.make({
        type: "socket_filter",
        name: "pinned",
        instructions: [Asm.mov("r0", 0), Asm.exit()]
      }))
      // By way of a map's own pin call: what it is given is the descriptor.
      yield* BpfMap.pin({ fd: program.fd, spec: definition.spec }, path)
      const error = yield* failure(BpfMap.openPinned(definition, path))
      expect(error).toMatchObject({ _tag: "SystemCallError", code: "EINVAL" })
      expect(error.message).toContain("It is no map, but another kind of object")
      expect(yield* failure(BytesMap.openPinned(path))).toMatchObject({ code: "EINVAL" })
    }))

  test("maps of other families are pinned and opened too: arrays that are mapped, maps of maps", () =>
    Effect.gen(function*() {
      const folder = yield* acquireBpfFs
      const values = ArrayMap.define({ name: "values", value: Layout.u32, maxEntries: 4, mmapable: true })
      yield* Effect.scoped(Effect.gen(function*() {
        const view = yield* ArrayMap.view(yield* BpfMap.pinned(values, `${folder}/values`))
        view.set(3, 7)
      }))
      expect(yield* (yield* BpfMap.openPinned(values, `${folder}/values`)).lookup(3)).toBe(7)
      const tenants = MapOfMaps.define({ name: "tenants", inner: definition, maxEntries: 2 })
      yield* Effect.scoped(Effect.gen(function*() {
        const outer = yield* BpfMap.pinned(tenants, `${folder}/tenants`)
        const inner = yield* BpfMap.create(definition)
        yield* inner.update(5, 50)
        yield* outer.update(1, inner)
      }))
      const outer = yield* BpfMap.openPinned(tenants, `${folder}/tenants`)
      const inner = Option.getOrThrow(yield* outer.lookup(1))
      expect(yield* inner.lookup(5)).toEqual(Option.some(50))
    }))

  test("a pinning that fails leaves no map behind", () =>
    Effect.gen(function*() {
      const plain = yield* acquireFolder
      const exit = yield* Effect.exit(BpfMap.pinned(definition, `${plain}/map`))
      expect(Exit.isFailure(exit)).toBe(true)
    }))
}
