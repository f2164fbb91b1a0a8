package stream

import "container/heap"

// closing finds the groups (slots of a container) that a watermark has passed: slots by the value of the watermark column.
// Windows have few values, so a value is looked up once for many groups in a row.
type closing struct {
	*closedBy
	at   map[int64]*[]uint32
	heap valueHeap
	last int64
	list *[]uint32 // of last
}

func newClosing(cols []int) *closing {
	return &closing{closedBy: newClosedBy(cols), at: map[int64]*[]uint32{}}
}

// add notes a group. A slot that is given up and used again may stand under several values, or twice under one.
func (c *closing) add(v int64, slot uint32) {
	if c.list == nil || v != c.last {
		l := c.at[v]
		if l == nil {
			l = &[]uint32{}
			c.at[v] = l
			heap.Push(&c.heap, v)
		}
		c.last, c.list = v, l
	}
	*c.list = append(*c.list, slot)
}

// due takes out the slots whose first column was below its watermark when they were added, value by value.
func (c *closing) due(f func(v int64, slots []uint32) error) error {
	for len(c.heap) > 0 && c.heap[0] < c.marks[0] {
		v := heap.Pop(&c.heap).(int64)
		slots := *c.at[v]
		delete(c.at, v)
		if c.last == v {
			c.list = nil
		}
		if err := f(v, slots); err != nil {
			return err
		}
	}
	return nil
}

// valueHeap is a container/heap of values.
type valueHeap []int64

func (h valueHeap) Len() int           { return len(h) }
func (h valueHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h valueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *valueHeap) Push(x any)        { *h = append(*h, x.(int64)) }
func (h *valueHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
