package expr

import (
	"math"
	"time"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Dates and times. The arithmetic is internal/datetime's; here it meets types, settings and the clock. What
// depends on the session's time zone is stable.

// unixEpoch is 2000-01-01 in seconds of Unix time.
const unixEpoch = 946684800

// wallClock is the time of day in microseconds since 2000.
func wallClock() int64 { return time.Now().UnixMicro() - unixEpoch*1e6 }

func (c *Ctx) stmtNow() int64 {
	if c.StmtNow != 0 {
		return c.StmtNow
	}
	return c.Now
}

// part adapts extract and date_part, whose result may be NULL.
func part[A value, R fixed](f func(field string, x A) (R, bool, error)) Kernel {
	return k2e(func(field []byte, x A) (R, error) {
		r, ok, err := f(view(field), x)
		if err == nil && !ok {
			err = errNull
		}
		return r, err
	})
}

func partTz[R fixed](f func(field string, x int64, loc *time.Location) (R, bool, error)) Kernel {
	return k2c(func(c *Ctx, field []byte, x int64) (R, error) {
		r, ok, err := f(view(field), x, c.location())
		if err == nil && !ok {
			err = errNull
		}
		return r, err
	})
}

func text3(dst []byte, s string, ok bool, err error) ([]byte, error) {
	if err == nil && !ok {
		err = errNull
	}
	return append(dst, s...), err
}

// flip exchanges the arguments of a kernel of two.
func flip(k Kernel) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		k(c, Args{Vecs: []*delta.Vec{a.Vecs[1], a.Vecs[0]}, Sel: a.Sel, N: a.N}, out)
	}
}

func addIntervalTz(c *Ctx, t int64, iv datetime.Interval) (int64, error) {
	return datetime.AddIntervalTz(t, iv, c.location())
}

func subIntervalTz(c *Ctx, t int64, iv datetime.Interval) (int64, error) {
	return datetime.SubIntervalTz(t, iv, c.location())
}

func dateAddInterval(d int64, iv datetime.Interval) (int64, error) {
	t, err := datetime.DateToTimestamp(d)
	if err != nil {
		return 0, err
	}
	return datetime.AddInterval(t, iv)
}

func dateSubInterval(d int64, iv datetime.Interval) (int64, error) {
	t, err := datetime.DateToTimestamp(d)
	if err != nil {
		return 0, err
	}
	return datetime.SubInterval(t, iv)
}

// plusOps lists + and its mirror image, and - where sub is given.
func plusOps(l, r, result sqltypes.Type, add, sub Kernel, stable bool) []Func {
	out := []Func{fn("+", ts(l, r), result, add, "addition"), fn("+", ts(r, l), result, flip(add), "addition")}
	if sub != nil {
		out = append(out, fn("-", ts(l, r), result, sub, "subtraction"))
	}
	if stable {
		for i := range out {
			out[i] = out[i].stable()
		}
	}
	return out
}

func datetimeOps() []Func {
	d, t, tz, ttz, iv, i4, f8 := sqltypes.Date, sqltypes.Timestamp, sqltypes.Timestamptz, sqltypes.Timetz, sqltypes.IntervalT, sqltypes.Int4, sqltypes.Float8
	tm := sqltypes.Time
	out := plusOps(d, i4, d, k2e(datetime.AddDays), k2e(func(d, n int64) (int64, error) { return datetime.AddDays(d, -n) }), false)
	out = append(out, plusOps(d, iv, t, k2e(dateAddInterval), k2e(dateSubInterval), false)...)
	out = append(out, plusOps(d, tm, t, k2e(datetime.DateAddTime), nil, false)...)
	out = append(out, plusOps(d, ttz, tz, k2e(datetime.DateAddTimetz), nil, false)...)
	out = append(out, plusOps(t, iv, t, k2e(datetime.AddInterval), k2e(datetime.SubInterval), false)...)
	out = append(out, plusOps(tz, iv, tz, k2c(addIntervalTz), k2c(subIntervalTz), true)...)
	out = append(out, plusOps(tm, iv, tm, k2(datetime.TimeAddInterval), k2(datetime.TimeSubInterval), false)...)
	out = append(out, plusOps(ttz, iv, ttz, k2(datetime.TimetzAddInterval), k2(datetime.TimetzSubInterval), false)...)
	scale := func(i datetime.Interval, f float64) (datetime.Interval, error) { return i.Mul(f) }
	return append(out,
		fn("-", ts(d, d), i4, k2e(datetime.SubDates), "days between two dates"),
		fn("-", ts(t, t), iv, k2e(datetime.SubTimestamps), "time between two timestamps"),
		fn("-", ts(tz, tz), iv, k2e(datetime.SubTimestamps), "time between two timestamps"),
		fn("-", ts(tm, tm), iv, k2(datetime.SubTimes), "time between two times"),
		fn("+", ts(iv, iv), iv, k2e(datetime.Interval.Add), "addition"),
		fn("-", ts(iv, iv), iv, k2e(datetime.Interval.Sub), "subtraction"),
		fn("-", ts(iv), iv, k1e(datetime.Interval.Neg), "negation"),
		fn("*", ts(iv, f8), iv, k2e(scale), "multiple of an interval"),
		fn("*", ts(f8, iv), iv, flip(k2e(scale)), "multiple of an interval"),
		fn("/", ts(iv, f8), iv, k2e(datetime.Interval.Div), "part of an interval"))
}

// clockFuncs tell the time. now() and its kin stand still for a statement, or for an epoch in a view.
func clockFuncs() []Func {
	tz := sqltypes.Timestamptz
	now := k0(func(c *Ctx) (int64, error) { return c.Now, nil })
	list := []Func{
		fn("now", nil, tz, now, "start of the transaction; the time of the epoch in a view"),
		fn("transaction_timestamp", nil, tz, now, "start of the transaction"),
		fn("current_timestamp", nil, tz, now, "start of the transaction"),
		fn("proctime", nil, tz, now, "start of the transaction; the time of the epoch in a view"),
		fn("statement_timestamp", nil, tz, k0(func(c *Ctx) (int64, error) { return c.stmtNow(), nil }), "start of the statement"),
		fn("localtimestamp", nil, sqltypes.Timestamp, k0(func(c *Ctx) (int64, error) {
			return datetime.TimestamptzToTimestamp(c.Now, c.location())
		}), "start of the transaction, local time"),
		fn("current_date", nil, sqltypes.Date, k0(func(c *Ctx) (int64, error) {
			return datetime.TimestamptzToDate(c.Now, c.location()), nil
		}), "date of the start of the transaction"),
		fn("current_time", nil, sqltypes.Timetz, k0(func(c *Ctx) (int64, error) {
			return orNull(datetime.TimestamptzToTimetz(c.Now, c.location()))
		}), "time of day of the start of the transaction"),
		fn("localtime", nil, sqltypes.Time, k0(func(c *Ctx) (int64, error) {
			return orNull(datetime.TimestamptzToTime(c.Now, c.location()))
		}), "time of day of the start of the transaction, local time"),
	}
	for i := range list {
		list[i] = list[i].stable()
	}
	return append(list,
		fn("clock_timestamp", nil, tz, k0(func(*Ctx) (int64, error) { return wallClock(), nil }), "time of the clock on the wall").volatile(),
		fn("timeofday", nil, sqltypes.Text, b0(func(c *Ctx, dst []byte) ([]byte, error) {
			return time.Now().In(c.location()).AppendFormat(dst, "Mon Jan 02 15:04:05.000000 2006 MST"), nil
		}), "time of the clock on the wall, as text").volatile())
}

// partFuncs lists extract and date_part for every type.
func partFuncs() []Func {
	n, f, t := sqltypes.Numeric, sqltypes.Float8, sqltypes.Text
	const doc = "field of a date or time"
	out := []Func{
		fn("extract", ts(t, sqltypes.Date), n, part(datetime.ExtractDate), doc),
		fn("extract", ts(t, sqltypes.Time), n, part(datetime.ExtractTime), doc),
		fn("extract", ts(t, sqltypes.Timetz), n, part(datetime.ExtractTimetz), doc),
		fn("extract", ts(t, sqltypes.Timestamp), n, part(datetime.ExtractTimestamp), doc),
		fn("extract", ts(t, sqltypes.Timestamptz), n, partTz(datetime.ExtractTimestamptz), doc).stable(),
		fn("extract", ts(t, sqltypes.IntervalT), n, part(datetime.ExtractInterval), doc),
		fn("date_part", ts(t, sqltypes.Date), f, part(datetime.DatePartDate), doc),
		fn("date_part", ts(t, sqltypes.Time), f, part(datetime.DatePartTime), doc),
		fn("date_part", ts(t, sqltypes.Timetz), f, part(datetime.DatePartTimetz), doc),
		fn("date_part", ts(t, sqltypes.Timestamp), f, part(datetime.DatePartTimestamp), doc),
		fn("date_part", ts(t, sqltypes.Timestamptz), f, partTz(datetime.DatePartTimestamptz), doc).stable(),
		fn("date_part", ts(t, sqltypes.IntervalT), f, part(datetime.DatePartInterval), doc),
	}
	atZone := func(field []byte, x int64, zone []byte) (numeric.Dec, error) {
		local, err := datetime.TimestamptzAtZone(x, view(zone))
		if err != nil {
			return numeric.Dec{}, err
		}
		d, ok, err := datetime.ExtractTimestamp(view(field), local)
		if err == nil && !ok {
			err = errNull
		}
		return d, err
	}
	return append(out, fn("extract", ts(t, sqltypes.Timestamptz, t), n, k3e(atZone), "field of a timestamp in a time zone"))
}

// truncFuncs lists the functions that round down.
func truncFuncs() []Func {
	t, x, tz, iv := sqltypes.Text, sqltypes.Timestamp, sqltypes.Timestamptz, sqltypes.IntervalT
	inZone := func(field []byte, v int64, zone []byte) (int64, error) {
		return datetime.TruncTimestamptzAt(view(field), v, string(zone))
	}
	const doc = "cut to a precision"
	return []Func{
		fn("date_trunc", ts(t, x), x, k2e(func(f []byte, v int64) (int64, error) { return datetime.TruncTimestamp(view(f), v) }), doc),
		fn("date_trunc", ts(t, tz), tz, k2c(func(c *Ctx, f []byte, v int64) (int64, error) {
			return datetime.TruncTimestamptz(view(f), v, c.location())
		}), doc).stable(),
		fn("date_trunc", ts(t, tz, t), tz, k3e(inZone), "cut to a precision in a time zone").stable(),
		fn("date_trunc", ts(t, iv), iv, k2e(func(f []byte, v datetime.Interval) (datetime.Interval, error) {
			return datetime.TruncInterval(view(f), v)
		}), doc),
		fn("date_bin", ts(iv, x, x), x, k3e(datetime.Bin), "start of the bin of a given width"),
		fn("date_bin", ts(iv, tz, tz), tz, k3e(datetime.Bin), "start of the bin of a given width"),
	}
}

// makeFuncs lists the constructors from fields.
func makeFuncs() []Func {
	i4, f8, t := sqltypes.Int4, sqltypes.Float8, sqltypes.Text
	fields := ts(i4, i4, i4, i4, i4, f8)
	n := func(vecs []*delta.Vec, k, i int) int32 { return int32(vecs[k].Ints[i]) }
	stamp := func(f func(v []*delta.Vec, c *Ctx, y, mo, d, h, mi int32, sec float64, i int) (int64, error)) Kernel {
		return int64Rows(func(c *Ctx, v []*delta.Vec, i int) (int64, error) {
			return f(v, c, n(v, 0, i), n(v, 1, i), n(v, 2, i), n(v, 3, i), n(v, 4, i), v[5].Floats[i], i)
		})
	}
	return []Func{
		fn("make_date", ts(i4, i4, i4), sqltypes.Date, int64Rows(func(_ *Ctx, v []*delta.Vec, i int) (int64, error) {
			return datetime.MakeDate(n(v, 0, i), n(v, 1, i), n(v, 2, i))
		}), "date from year, month and day"),
		fn("make_time", ts(i4, i4, f8), sqltypes.Time, int64Rows(func(_ *Ctx, v []*delta.Vec, i int) (int64, error) {
			return datetime.MakeTime(n(v, 0, i), n(v, 1, i), v[2].Floats[i])
		}), "time from hour, minute and seconds"),
		fn("make_timestamp", fields, sqltypes.Timestamp, stamp(func(_ []*delta.Vec, _ *Ctx, y, mo, d, h, mi int32, sec float64, _ int) (int64, error) {
			return datetime.MakeTimestamp(y, mo, d, h, mi, sec)
		}), "timestamp from its fields"),
		fn("make_timestamptz", fields, sqltypes.Timestamptz, stamp(func(_ []*delta.Vec, c *Ctx, y, mo, d, h, mi int32, sec float64, _ int) (int64, error) {
			return datetime.MakeTimestamptz(y, mo, d, h, mi, sec, c.location())
		}), "timestamp from its fields in the session's time zone").stable(),
		fn("make_timestamptz", append(fields[:6:6], t), sqltypes.Timestamptz, stamp(func(v []*delta.Vec, _ *Ctx, y, mo, d, h, mi int32, sec float64, i int) (int64, error) {
			return datetime.MakeTimestamptzAt(y, mo, d, h, mi, sec, string(v[6].Bytes(i)))
		}), "timestamp from its fields in a time zone").stable(),
		fn("make_interval", ts(i4, i4, i4, i4, i4, i4, f8), sqltypes.IntervalT, makeInterval, "interval from years, months, weeks, days, hours, minutes and seconds").optional(7),
	}
}

func makeInterval(c *Ctx, a Args, out *delta.Vec) {
	a.each(out, func(i int) {
		var n [6]int32
		for k := range n {
			n[k] = int32(intArg(a.Vecs, k, i, 0))
		}
		sec := 0.0
		if len(a.Vecs) > 6 {
			sec = a.Vecs[6].Floats[i]
		}
		iv, err := datetime.MakeInterval(n[0], n[1], n[2], n[3], n[4], n[5], sec)
		out.Intervals[i] = iv
		if err != nil {
			c.Fail(out, i, err)
		}
	})
}

// zoneFuncs lists timezone(), which AT TIME ZONE calls.
func zoneFuncs() []Func {
	t, x, tz, ttz, iv := sqltypes.Text, sqltypes.Timestamp, sqltypes.Timestamptz, sqltypes.Timetz, sqltypes.IntervalT
	byName := func(f func(v int64, zone string) (int64, error)) Kernel {
		return k2e(func(zone []byte, v int64) (int64, error) { return f(v, string(zone)) })
	}
	byOffset := func(f func(v int64, zone datetime.Interval, st *datetime.Settings) (int64, error)) Kernel {
		return k2c(func(c *Ctx, zone datetime.Interval, v int64) (int64, error) { return f(v, zone, &c.settings().Time) })
	}
	const doc = "AT TIME ZONE"
	return []Func{
		fn("timezone", ts(t, x), tz, byName(datetime.TimestampAtZone), doc),
		fn("timezone", ts(t, tz), x, byName(datetime.TimestamptzAtZone), doc),
		fn("timezone", ts(t, ttz), ttz, k2c(func(c *Ctx, zone []byte, v int64) (int64, error) {
			return datetime.TimetzAtZone(v, string(zone), c.Now)
		}), doc).stable(),
		fn("timezone", ts(iv, x), tz, byOffset(datetime.TimestampAtInterval), doc),
		fn("timezone", ts(iv, tz), x, byOffset(datetime.TimestamptzAtInterval), doc),
		fn("timezone", ts(iv, ttz), ttz, byOffset(datetime.TimetzAtInterval), doc),
	}
}

// overlapsFuncs lists (start, end) OVERLAPS (start, end), where an end may be given as a length.
func overlapsFuncs() []Func {
	var out []Func
	for _, t := range ts(sqltypes.Timestamp, sqltypes.Timestamptz, sqltypes.Time, sqltypes.Timetz) {
		ends := ts(t, sqltypes.IntervalT)
		if t == sqltypes.Timetz {
			ends = ends[:1]
		}
		for _, e1 := range ends {
			for _, e2 := range ends {
				f := fn("overlaps", ts(t, e1, t, e2), sqltypes.Bool, overlaps(t), "whether two periods have a moment in common").onNulls()
				if t == sqltypes.Timestamptz && (e1 != t || e2 != t) {
					f = f.stable()
				}
				out = append(out, f)
			}
		}
	}
	return out
}

func overlaps(t sqltypes.Type) Kernel {
	plus := func(c *Ctx, start int64, length datetime.Interval) (int64, error) {
		switch t.Kind {
		case sqltypes.KTimestamptz:
			return datetime.AddIntervalTz(start, length, c.location())
		case sqltypes.KTime:
			return datetime.TimeAddInterval(start, length), nil
		}
		return datetime.AddInterval(start, length)
	}
	return func(c *Ctx, a Args, out *delta.Vec) {
		a.each(out, func(i int) {
			var v [4]*int64
			for k, x := range a.Vecs {
				if x.IsNull(i) {
					continue
				}
				if x.Type.Kind != sqltypes.KInterval {
					instant := x.Ints[i]
					v[k] = &instant
				} else if v[k-1] != nil {
					end, err := plus(c, *v[k-1], x.Intervals[i])
					if err != nil {
						c.Fail(out, i, err)
						return
					}
					v[k] = &end
				}
			}
			var ok bool
			if out.Bools[i], ok = datetime.OverlapsInts(v[0], v[1], v[2], v[3]); !ok {
				out.SetNull(i)
			}
		})
	}
}

// ageFuncs lists age(): years, months and days between timestamps.
func ageFuncs() []Func {
	x, tz, iv := sqltypes.Timestamp, sqltypes.Timestamptz, sqltypes.IntervalT
	today := func(c *Ctx) (int64, error) {
		return datetime.DateToTimestamp(datetime.TimestamptzToDate(c.Now, c.location()))
	}
	return []Func{
		fn("age", ts(x, x), iv, k2e(datetime.Age), "years, months and days between timestamps"),
		fn("age", ts(tz, tz), iv, k2c(func(c *Ctx, a, b int64) (datetime.Interval, error) {
			return datetime.AgeTz(a, b, c.location())
		}), "years, months and days between timestamps").stable(),
		fn("age", ts(x), iv, k1c(func(c *Ctx, v int64) (datetime.Interval, error) {
			t, err := today(c)
			if err != nil {
				return datetime.Interval{}, err
			}
			return datetime.Age(t, v)
		}), "years, months and days until today").stable(),
		fn("age", ts(tz), iv, k1c(func(c *Ctx, v int64) (datetime.Interval, error) {
			t, err := today(c)
			if err != nil {
				return datetime.Interval{}, err
			}
			if t, err = datetime.TimestampToTimestamptz(t, c.location()); err != nil {
				return datetime.Interval{}, err
			}
			return datetime.AgeTz(t, v, c.location())
		}), "years, months and days until today").stable(),
	}
}

// formatFuncs lists to_char and its inverses.
func formatFuncs() []Func {
	t, x, tz, iv, f8 := sqltypes.Text, sqltypes.Timestamp, sqltypes.Timestamptz, sqltypes.IntervalT, sqltypes.Float8
	return []Func{
		fn("to_char", ts(x, t), t, b2e(func(dst []byte, v int64, f []byte) ([]byte, error) {
			s, ok, err := datetime.ToCharTimestamp(v, string(f))
			return text3(dst, s, ok, err)
		}), "formatted timestamp").stable(),
		fn("to_char", ts(tz, t), t, b2c(func(c *Ctx, dst []byte, v int64, f []byte) ([]byte, error) {
			s, ok, err := datetime.ToCharTimestamptz(v, string(f), c.location())
			return text3(dst, s, ok, err)
		}), "formatted timestamp").stable(),
		fn("to_char", ts(iv, t), t, b2e(func(dst []byte, v datetime.Interval, f []byte) ([]byte, error) {
			s, ok, err := datetime.ToCharInterval(v, string(f))
			return text3(dst, s, ok, err)
		}), "formatted interval").stable(),
		fn("to_timestamp", ts(t, t), tz, k2c(func(c *Ctx, s, f []byte) (int64, error) {
			return datetime.ToTimestamp(string(s), string(f), c.location())
		}), "timestamp from formatted text").stable(),
		fn("to_date", ts(t, t), sqltypes.Date, k2e(func(s, f []byte) (int64, error) { return datetime.ToDate(string(s), string(f)) }), "date from formatted text").stable(),
		fn("to_timestamp", ts(f8), tz, k1e(datetime.FromEpoch), "timestamp from seconds since 1970"),
	}
}

// datetimeFuncs lists everything on dates and times but comparisons and casts.
func datetimeFuncs() []Func {
	x, tz, iv, d := sqltypes.Timestamp, sqltypes.Timestamptz, sqltypes.IntervalT, sqltypes.Date
	out := datetimeOps()
	for _, list := range [][]Func{clockFuncs(), partFuncs(), truncFuncs(), makeFuncs(), zoneFuncs(), overlapsFuncs(), ageFuncs(), formatFuncs()} {
		out = append(out, list...)
	}
	return append(out,
		fn("isfinite", ts(d), sqltypes.Bool, k1(datetime.IsFiniteDate), "whether not infinite"),
		fn("isfinite", ts(x), sqltypes.Bool, k1(datetime.IsFiniteTimestamp), "whether not infinite"),
		fn("isfinite", ts(tz), sqltypes.Bool, k1(datetime.IsFiniteTimestamp), "whether not infinite"),
		fn("isfinite", ts(iv), sqltypes.Bool, k1(func(datetime.Interval) bool { return true }), "whether not infinite"),
		fn("justify_days", ts(iv), iv, k1e(datetime.Interval.JustifyDays), "30 days become a month"),
		fn("justify_hours", ts(iv), iv, k1e(datetime.Interval.JustifyHours), "24 hours become a day"),
		fn("justify_interval", ts(iv), iv, k1e(datetime.Interval.Justify), "30 days become a month and 24 hours a day, with equal signs"),
		fn("to_timestamp_ms", ts(sqltypes.Int8), tz, k1e(fromMillis), "timestamp from milliseconds since 1970"))
}

// fromMillis converts without a detour through floats.
func fromMillis(ms int64) (int64, error) {
	if ms > math.MaxInt64/1000 || ms < math.MinInt64/1000 {
		return 0, errInt8Range
	}
	return ms*1000 - unixEpoch*1e6, nil
}
