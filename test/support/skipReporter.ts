// Says at the end of a run which tests were skipped, and why: the usual reporter only counts them.
import type { Reporter, TestModule } from "vitest/node"

export default class SkipReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>): void {
    const counts = new Map<string, number>()
    for (const module of modules) {
      for (const test of module.children.allTests("skipped")) {
        const result = test.result()
        // A test that the command line's filter left out was not asked for.
        if (result.state !== "skipped" || result.note === undefined) continue
        const reason = `${module.project.name} tests: ${result.note}`
        counts.set(reason, (counts.get(reason) ?? 0) + 1)
      }
    }
    for (const [reason, count] of counts) process.stdout.write(`\nskipped ${count} ${reason}\n`)
  }
}
