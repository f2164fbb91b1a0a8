//go:build !millrace_killpoints

// Package killpoint lets tests kill a server at a certain step.
//
// The idea: code calls Here with a step's name. In a server that is built with the tag millrace_killpoints, which internal/e2e
// does, the process dies there when its environment asks for it; in any other build Here does nothing.
//
// Any goroutine may call it. It does not decide what must hold after the crash (the tests do). Start at Here.
package killpoint

// Here is a step at which a test may have the process killed.
func Here(string) {}
