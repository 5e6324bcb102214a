import { Features } from "../../src/index.ts"
import { parseVersion } from "../../src/kernel/version.ts"
import { release } from "node:os"

/** Why a test that needs a feature is skipped here, or `undefined`: by the table of versions, and nothing else. */
export const whyMissing = (feature: Features.FeatureName): string | undefined => {
  const version = parseVersion(release())
  if (Features.isExpected(version, feature)) return undefined
  const { name, since } = Features.features[feature]
  return `${name} needs Linux ${since.join(".")} [${feature}]`
}
