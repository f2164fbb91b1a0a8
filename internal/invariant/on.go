//go:build millrace_invariants

package invariant

// Enabled is true in builds that run costly checks.
const Enabled = true
