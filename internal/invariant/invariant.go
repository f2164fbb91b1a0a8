// Package invariant checks what must always hold.
//
// With the build tag millrace_invariants a broken invariant panics, and costly checks run; without it
// Check still panics (the caller's recover turns it into an internal error and the job restarts from its
// last checkpoint), but costly checks are guarded by the constant Enabled and vanish.
//
// No state, any goroutine. Start at Check.
package invariant

// Check panics with msg when ok is false. Keep the condition cheap: it runs in production.
func Check(ok bool, msg string) {
	if !ok {
		panic("broken invariant: " + msg)
	}
}
