// A vitest reporter for machines: one line of JSON for each test, after a mark that no other output has.
import { relative } from "node:path"
import type { Reporter, TestCase, TestModule } from "vitest/node"

/** What one test came to. */
export interface TestLine {
  readonly file: string
  readonly name: string
  readonly state: "passed" | "failed" | "skipped"
  /** Why it was skipped, or how it failed. */
  readonly note: string
  readonly milliseconds: number
}

export const MARK = "\u001e"

const print = (line: TestLine): void => {
  process.stdout.write(`${MARK}${JSON.stringify(line)}\n`)
}

export default class LineReporter implements Reporter {
  onTestCaseResult(test: TestCase): void {
    const result = test.result()
    if (result.state === "pending") return
    const note = result.state === "skipped"
      ? result.note ?? ""
      : (result.errors ?? []).map((error) => `${error.message}\n${error.stack ?? ""}`).join("\n")
    print({
      file: relative(process.cwd(), test.module.moduleId),
      name: test.fullName,
      state: result.state,
      note,
      milliseconds: test.diagnostic()?.duration ?? 0
    })
  }

  /** A file that could not be loaded has no tests to report. */
  onTestModuleEnd(module: TestModule): void {
    for (const error of module.errors()) {
      const note = `${error.message}\n${error.stack ?? ""}`
      print({
        file: relative(process.cwd(), module.moduleId),
        name: "(the file itself)",
        state: "failed",
        note,
        milliseconds: 0
      })
    }
  }
}
