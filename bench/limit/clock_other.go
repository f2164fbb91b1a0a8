//go:build !linux

package limit

import "time"

var began = time.Now()

// threadTime is the wall clock where a thread's own cannot be had.
func threadTime() time.Duration { return time.Since(began) }
