// Helpers of programs at sockets and cgroups: options, sysctls, and values that belong to other objects.
import { errno } from "../../../abi/errno.ts"
import { type Environment, failed, type Helpers, s32, terminated, u32, u64 } from "./environment.ts"

const CREATE = 1n
/** errno ENOPROTOOPT */
const NO_OPTION = 92

export const socketHelpers = ({ event, map, memory, task }: Environment): Helpers => {
  const storageOf = (pointer: bigint) => {
    const found = map(pointer)
    if (found?.storage === undefined) throw new RangeError("the first argument is no map of local storage")
    return { storage: found.storage, valueSize: found.attributes.valueSize, type: found.attributes.type }
  }
  /** What a map takes for an object: the process id of a task, the id of a cgroup; the address of others. */
  const ownerOf = (address: bigint): unknown => {
    const current = task()
    return address === current.address ? current.task.tid ?? current.task.pid : address
  }
  const get = (pointer: bigint, object: bigint, value: bigint, flags: bigint): bigint => {
    if (object === 0n || (flags & ~CREATE) !== 0n) return 0n
    const { storage, valueSize } = storageOf(pointer)
    const owner = ownerOf(object)
    const found = storage.find(owner)
    if (found !== undefined || flags === 0n) return found ?? 0n
    const initial = value === 0n ? new Uint8Array(valueSize) : memory.read(value, valueSize)
    return storage.update(owner, initial, 1) < 0 ? 0n : storage.find(owner) ?? 0n
  }
  const remove = (pointer: bigint, object: bigint): bigint =>
    object === 0n ? failed(errno.EINVAL) : u64(storageOf(pointer).storage.delete(ownerOf(object)))

  const option = (level: bigint, name: bigint): string => `${s32(level)}/${s32(name)}`
  /** A string into a buffer: its length, or E2BIG where it was cut. */
  const copy = (text: string, buffer: bigint, size: number): bigint => {
    const bytes = terminated(new TextEncoder().encode(text), size)
    memory.write(buffer, bytes)
    return text.length >= size ? failed(errno.E2BIG) : BigInt(bytes.length - 1)
  }
  const sysctl = () => {
    const { sysctl: given } = event()
    if (given === undefined) throw new RangeError("no sysctl is read or written")
    return given
  }

  return {
    BPF_FUNC_sk_storage_get: get,
    BPF_FUNC_task_storage_get: get,
    BPF_FUNC_inode_storage_get: get,
    BPF_FUNC_cgrp_storage_get: get,
    BPF_FUNC_sk_storage_delete: remove,
    BPF_FUNC_task_storage_delete: remove,
    BPF_FUNC_inode_storage_delete: remove,
    BPF_FUNC_cgrp_storage_delete: remove,
    BPF_FUNC_setsockopt: (_context, level, name, value, length) => {
      event().socketOptions.set(option(level, name), memory.read(value, u32(length)))
      return 0n
    },
    BPF_FUNC_getsockopt: (_context, level, name, value, length) => {
      const stored = event().socketOptions.get(option(level, name))
      if (stored === undefined) return failed(NO_OPTION)
      const bytes = new Uint8Array(u32(length))
      bytes.set(stored.subarray(0, bytes.length))
      memory.write(value, bytes)
      return 0n
    },
    BPF_FUNC_sysctl_get_name: (_context, buffer, size, flags) => {
      const { name } = sysctl()
      return copy(flags === 1n ? name.slice(name.lastIndexOf("/") + 1) : name, buffer, u32(size))
    },
    BPF_FUNC_sysctl_get_current_value: (_context, buffer, size) => copy(sysctl().current, buffer, u32(size)),
    BPF_FUNC_sysctl_get_new_value: (_context, buffer, size) =>
      copy(event().sysctlNew ?? sysctl().next, buffer, u32(size)),
    BPF_FUNC_sysctl_set_new_value: (_context, buffer, size) => {
      event().sysctlNew = new TextDecoder().decode(memory.read(buffer, u32(size))).replace(/\0.*$/s, "")
      return 0n
    }
  }
}
