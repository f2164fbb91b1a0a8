package batch

import (
	"context"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
)

// diskJoin is a join whose inputs lie on disk, spread by key: rows that can match lie in files of the same number.
type diskJoin struct {
	left, right *partitions
	at          int
	sub         Operator // the join of the files before at
}

// spreads reports whether the join can be done file by file: it has keys to spread by, one row does not have to know
// about all of the other side, as in NOT IN, and spreading has not been tried too often.
func (j *hashJoin) spreads() bool {
	return len(j.n.LeftKeys) > 0 && j.n.Kind != plan.NullAnti && j.level < spillLevels
}

// spread writes all of both inputs, beginning with what has been read.
func (j *hashJoin) spread(ctx context.Context, left, right *collector) error {
	j.disk = &diskJoin{
		left:  newPartitions(j.q, j.leftTypes, j.n.LeftKeys, j.strict(), j.level),
		right: newPartitions(j.q, j.rightTypes, j.n.RightKeys, j.strict(), j.level),
	}
	for _, side := range []struct {
		read *collector
		op   Operator
		to   *partitions
	}{{left, j.left, j.disk.left}, {right, j.right, j.disk.right}} {
		for _, chunks := range [][]*delta.Chunk{side.read.kept, side.read.small} {
			for _, ch := range chunks {
				if err := side.to.add(ch); err != nil {
					return err
				}
			}
		}
		side.read.release()
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			ch, err := side.op.Next(ctx)
			if err != nil {
				return err
			}
			if ch == nil {
				break
			}
			if err := side.to.add(ch); err != nil {
				return err
			}
		}
	}
	return nil
}

// next yields the rows of one file's join after the other.
func (d *diskJoin) next(ctx context.Context, j *hashJoin) (*delta.Chunk, error) {
	for {
		if d.sub != nil {
			ch, err := d.sub.Next(ctx)
			if err != nil || ch != nil {
				return ch, err
			}
			d.sub.Close()
			d.sub = nil
		}
		if d.at == spillFanout {
			return nil, nil
		}
		x := d.at
		d.at++
		if d.left.files[x] == nil && d.right.files[x] == nil {
			continue
		}
		// A side without rows is an empty file: outer joins need the other side all the same.
		if err := d.left.file(x); err != nil {
			return nil, err
		}
		if err := d.right.file(x); err != nil {
			return nil, err
		}
		var err error
		if d.sub, err = newHashJoinOver(j.q, j.n, d.left.files[x], d.right.files[x], j.level+1); err != nil {
			return nil, err
		}
		if err := d.sub.Open(ctx); err != nil {
			return nil, err
		}
	}
}

func (d *diskJoin) close() {
	if d == nil {
		return
	}
	if d.sub != nil {
		d.sub.Close()
	}
	d.left.close()
	d.right.close()
}
