package stream

import "github.com/millrace/millrace/internal/delta"

// union is UNION ALL: what comes in on any port goes out.
type union struct{ stateless }

// OnDelta implements Operator.
func (union) OnDelta(_ int, c *delta.Chunk, emit Emit) error { return emit(c) }
