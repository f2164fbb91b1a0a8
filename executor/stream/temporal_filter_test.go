package stream

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// clocks are functions of the current time, for values of their types.
func clocks() []expr.Expr {
	tz, ts := sqltypes.Timestamptz, sqltypes.Timestamp
	now := &expr.Call{Sig: "now()", Ty: tz}
	iv := func(months, days int32, micros int64) expr.Expr {
		return &expr.Const{Ty: sqltypes.IntervalT, Val: datetime.Interval{Months: months, Days: days, Micros: micros}}
	}
	minus := func(e expr.Expr, by expr.Expr) expr.Expr {
		return &expr.Call{Sig: "-(" + e.Type().Base().String() + ",interval)", Ty: e.Type(), Args: []expr.Expr{e, by}}
	}
	local := &expr.Cast{Arg: now, Ty: ts, Explicit: true}
	trunc := func(unit string, e expr.Expr) expr.Expr {
		return &expr.Call{Sig: "date_trunc(text," + e.Type().Base().String() + ")", Ty: e.Type(), Args: []expr.Expr{&expr.Const{Ty: sqltypes.Text, Val: unit}, e}}
	}
	return []expr.Expr{
		now, minus(now, iv(0, 0, 3_600_000_000)), minus(now, iv(0, 1, 0)), minus(now, iv(1, 0, 0)), minus(now, iv(-2, 3, 5)),
		local, minus(local, iv(0, 2, 1_000_000)), minus(local, iv(1, 0, 0)),
		trunc("hour", now), trunc("day", now), trunc("week", local), trunc("month", now),
		&expr.Cast{Arg: now, Ty: sqltypes.Date, Explicit: true},
	}
}

// TestTemporalFilterEqualsFilter: at each barrier what is shown is what an ordinary filter lets through at that time, in time
// zones with summer time and around the ends of months; and in between nothing would have changed.
func TestTemporalFilterEqualsFilter(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	for _, zone := range []string{"UTC", "America/New_York", "Europe/Berlin"} {
		loc, err := datetime.LoadLocation(zone)
		if err != nil {
			t.Skip(err)
		}
		for k, clock := range clocks() {
			for _, op := range []string{"<", "<=", ">", ">="} {
				t.Run(fmt.Sprintf("%s/%d/%s", zone, k, op), func(t *testing.T) { compareTemporal(t, rnd, loc, clock, op) })
			}
		}
	}
}

func compareTemporal(t *testing.T, rnd *rand.Rand, loc *time.Location, clock expr.Expr, op string) {
	settings := sqlio.DefaultSettings()
	settings.Time.Location = loc
	drift, ok := plan.ClockDrift(clock, loc == time.UTC)
	if !ok {
		t.Fatal("the clock is not understood")
	}
	ty := clock.Type()
	value := &expr.Col{Index: 1, Ty: ty}
	env := &Env{Table: func(int) state.Config { return state.Config{} }, Owns: func(uint16) bool { return true }, Ctx: &expr.Ctx{Settings: settings}}
	in := &plan.TableScan{Out: []plan.Column{{Name: "id", Type: sqltypes.Int8}, {Name: "at", Type: ty}}}
	made, err := newTemporalFilter(&plan.TemporalFilter{Input: in, Bounds: []plan.TimeBound{{Value: value, Op: op, Clock: clock, Drift: drift}}}, env)
	if err != nil {
		t.Fatal(err)
	}
	f := made.(*temporalFilter)
	cmp := &expr.Call{Sig: op + "(" + ty.Base().String() + "," + ty.Base().String() + ")", Ty: sqltypes.Bool, Args: []expr.Expr{value, clock}}
	prog, err := expr.Compile(cmp)
	if err != nil {
		t.Fatal(err)
	}
	// Begin where something happens: at the end of a month or at a change of the clock.
	starts := []string{"2024-02-28 22:00", "2023-03-30 12:00", "2024-03-10 01:00", "2024-11-03 00:30", "2024-10-26 23:00", "2024-12-31 20:00"}
	begin, _ := time.ParseInLocation("2006-01-02 15:04", starts[rnd.IntN(len(starts))], loc)
	now := datetime.FromTime(begin)
	span := (drift.Hi - drift.Lo) + 6*3600*1_000_000
	unit := int64(1)
	if ty.Kind == sqltypes.KDate {
		unit = microsPerDay
	}
	var rows [][]sqltypes.Datum
	for i := range 60 {
		v := floorDiv(now+drift.Lo-span/4+rnd.Int64N(span+2*unit)+rnd.Int64N(5), unit)
		rows = append(rows, []sqltypes.Datum{int64(i), v})
	}
	all := chunkOf(plan.Types(in), rows, nil)
	want := func(at int64) map[int64]bool {
		c := &expr.Ctx{Settings: settings, Now: at, StmtNow: at}
		out := map[int64]bool{}
		sel := expr.Filter(c, prog, all)
		if sel == nil {
			sel = all.RowList()
		}
		for _, i := range sel {
			out[int64(i)] = true
		}
		return out
	}
	shown := map[int64]int64{}
	emit := func(c *delta.Chunk) error {
		for k := range c.Len() {
			shown[c.Cols[0].Ints[c.Row(k)]] += c.Weight(c.Row(k))
		}
		return nil
	}
	check := func(at int64) {
		t.Helper()
		w := want(at)
		for id := range int64(len(rows)) {
			if n := shown[id]; n != 0 && n != 1 || (n == 1) != w[id] {
				t.Fatalf("at %v: row %v is shown %d times, the filter says %v", datetime.ToTime(at).In(loc), rows[id][1], n, w[id])
			}
		}
	}
	_ = f.OnDelta(0, all, emit)
	for step := range 80 {
		if err := f.OnBarrier(Barrier{Now: now}, emit); err != nil {
			t.Fatal(err)
		}
		check(now)
		wake, ok := f.Wake()
		if ok && wake <= now {
			t.Fatalf("at %d it wants to be woken at %d", now, wake)
		}
		ahead := rnd.Int64N(span/30 + 2)
		switch {
		case ok && step%2 == 0: // just before, then in time
			check(wake - 1)
			now = wake
		case ok && wake > now+ahead || !ok:
			check(now + ahead)
			now += ahead
		default:
			now += ahead
		}
	}
}
