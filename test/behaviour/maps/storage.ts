// Storage attached to other objects: tasks, sockets, inodes, cgroups.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { BpfMap, CgroupStorage, HashMap, Layout, LocalStorage } from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

const kinds = [
  ["sk_storage", LocalStorage.makeSocket, "ringbuf"], // since 5.2: every kernel that is tested
  ["task_storage", LocalStorage.makeTask, "taskStorage"],
  ["inode_storage", LocalStorage.makeInode, "inodeStorage"],
  ["cgrp_storage", LocalStorage.makeCgroup, "cgroupLocalStorage"]
] as const

const Mark = Layout.struct({ id: Layout.u32, name: Layout.cstring(16), at: Layout.u64 })
const mark = { id: 7, name: "own", at: 2n ** 63n }

export const storage = (test: Test): void => {
  for (const [type, make, needs] of kinds) {
    test(
      `a ${type} map is made with the BTF that it needs, and takes only objects of its kind`,
      () =>
        Effect.gen(function*() {
          const map = yield* make({ name: "marks", value: Mark })
          expect(yield* BpfMap.info(map)).toMatchObject({ kind: type, keySize: 4, valueSize: Mark.size, maxEntries: 0 })
          const other = yield* HashMap.make({ name: "other", key: Layout.u32, value: Layout.u32, maxEntries: 1 })
          // The inode of a map's descriptor is an inode like any other's.
          if (type !== "inode_storage") {
            const refused = yield* Effect.flip(map.update(other, mark))
            expect(refused).toMatchObject({ _tag: "SystemCallError" })
            expect(["EINVAL", "EBADF", "ENOTSOCK"]).toContain((refused as { code: string }).code)
            expect(yield* Effect.flip(map.lookup(other))).toMatchObject({ _tag: "SystemCallError" })
            expect(yield* Effect.flip(map.delete(other))).toMatchObject({ _tag: "SystemCallError" })
          }
          expect(yield* Effect.flip(map.update(999, mark))).toMatchObject({ _tag: "SystemCallError", code: "EBADF" })
          const closed = yield* Effect.scoped(
            HashMap.make({ name: "m", key: Layout.u32, value: Layout.u32, maxEntries: 1 })
          )
          for (const object of [closed, -1, 0.5, null as never]) {
            expect(yield* Effect.flip(map.lookup(object))).toMatchObject({ _tag: "InvalidArgument", field: "object" })
            expect(yield* Effect.flip(map.update(object, mark))).toMatchObject({ _tag: "InvalidArgument" })
            expect(yield* Effect.flip(map.delete(object))).toMatchObject({ _tag: "InvalidArgument" })
          }
        }),
      { needs }
    )
  }

  test("a task keeps a value until it is taken away", () =>
    Effect.gen(function*() {
      const map = yield* LocalStorage.makeTask({ name: "marks", value: Mark })
      const self = yield* LocalStorage.openTask(process.pid)
      expect(yield* map.lookup(self)).toEqual(Option.none())
      expect(yield* Effect.flip(map.update(self, mark, { mode: "exist" }))).toMatchObject({ code: "ENOENT" })
      yield* map.update(self, mark)
      // Another descriptor of the same process is the same task.
      expect(yield* map.lookup(yield* LocalStorage.openTask(process.pid))).toEqual(Option.some(mark))
      expect(yield* Effect.flip(map.update(self, mark, { mode: "noexist" }))).toMatchObject({ code: "EEXIST" })
      yield* map.update(self.fd, { ...mark, id: 8 }, { mode: "exist" })
      expect(yield* map.lookup(self)).toEqual(Option.some({ ...mark, id: 8 }))
      expect(yield* Effect.flip(map.update(self, { ...mark, id: -1 }))).toMatchObject({
        _tag: "LayoutError",
        path: "id"
      })
      expect(yield* map.delete(self)).toBe(true)
      expect(yield* map.delete(self)).toBe(false)
      expect(yield* map.lookup(self)).toEqual(Option.none())
      // Its maps do not share values.
      const second = yield* LocalStorage.makeTask({ name: "marks", value: Layout.u64 })
      yield* map.update(self, mark)
      expect(yield* second.lookup(self)).toEqual(Option.none())
    }), { needs: "taskStorage" })

  test("a task is opened by the id of a process only", () =>
    Effect.gen(function*() {
      for (const pid of [0, -1, 1.5, 2 ** 31, Number.NaN]) {
        expect(yield* Effect.flip(LocalStorage.openTask(pid))).toMatchObject({ _tag: "InvalidArgument", field: "pid" })
      }
      const task = yield* Effect.scoped(LocalStorage.openTask(process.pid))
      expect(task.fd).toBe(-1)
    }))

  test("cgroup storage has no entries until a program is attached", () =>
    Effect.gen(function*() {
      const single = yield* CgroupStorage.make({ name: "bytes", value: Layout.u64 })
      const perCpu = yield* CgroupStorage.makePerCpu({ name: "bytes", value: Layout.u64 })
      for (const map of [single, perCpu]) {
        expect(yield* BpfMap.info(map)).toMatchObject({ kind: map.spec.type, keySize: 8, valueSize: 8 })
        expect(map.lookupUnsafe(1n)).toBeUndefined()
        expect(yield* map.count).toBe(0)
      }
      expect(yield* single.lookup(1n)).toEqual(Option.none())
      expect(yield* perCpu.lookup(1n)).toEqual(Option.none())
      expect(yield* Stream.runCollect(single.keys)).toEqual([])
      expect(yield* Stream.runCollect(perCpu.entries)).toEqual([])
      expect(yield* Effect.flip(single.update(1n, 5n))).toMatchObject({ code: "ENOENT" })
      expect(yield* Effect.flip(single.lookup(-1n))).toMatchObject({ _tag: "LayoutError" })
    }))
}
