package datagen

import (
	"math"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// config is the options of a source.
type config struct {
	splits    int64
	perSecond float64 // over all splits; 0: as fast as possible
	rows      int64   // rows of all splits together
	base      int64   // time that time stamps lie before, µs since 1970; −1: when a split is first opened
	columns   []*generator
}

// forever is the number of rows of a source without an end.
const forever = math.MaxInt64 / 4

func parseOptions(spec *connector.SourceSpec) (*config, error) {
	if f := spec.Connector.Format; f != "" && f != "NATIVE" && f != "PLAIN" {
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "connector \"datagen\" has no format %s", f).WithHint("Leave FORMAT … ENCODE … away.")
	}
	o := option.New(option.Connector("datagen"), spec.Connector.Options)
	c := &config{}
	c.splits = o.Int("datagen.split.num", 1, 1, 1024)
	c.perSecond = o.Float("datagen.rows.per.second", 10, 0, 1e12)
	c.rows = o.Int("datagen.rows", forever, 0, forever)
	settings := spec.Settings
	if settings == nil {
		settings = sqlio.DefaultSettings()
	}
	c.base = -1
	if text := o.String("datagen.base.time", ""); text != "" {
		if d, err := sqlio.ParseText(sqltypes.Timestamptz, text, settings); err != nil || d.(int64) < -epochMicros {
			o.Fail("option \"datagen.base.time\" must be a time stamp since 1970, not %q", text)
		} else {
			c.base = d.(int64) + epochMicros
		}
	}
	for i := range spec.Columns {
		col := &spec.Columns[i]
		if col.Generated != "" {
			c.columns = append(c.columns, &generator{typ: col.Type, fill: fillNull})
			continue
		}
		g := newGenerator(o, "fields."+col.Name, col, settings)
		c.columns = append(c.columns, g)
		c.rows = min(c.rows, g.limit)
	}
	if len(spec.Columns) == 0 {
		o.Fail("connector \"datagen\" needs declared columns")
	}
	return c, o.Done()
}

// newGenerator reads the options of one column, which begin with prefix.
func newGenerator(o *option.Set, prefix string, col *catalog.Column, s *sqlio.Settings) *generator {
	g := &generator{typ: col.Type, limit: forever, settings: s}
	if col.Include != "" {
		o.Fail("connector \"datagen\" has nothing to include as %q", col.Include)
	}
	g.seed = mix(uint64(o.Int(prefix+".seed", 0, math.MinInt64, math.MaxInt64)) ^ xxhash.Sum64String(col.Name))
	if o.Enum(prefix+".kind", "random", "random", "sequence") == "sequence" {
		g.sequence(o, prefix)
		return g
	}
	switch t := col.Type; {
	case t.IsInteger() || t.Kind == sqltypes.KOid:
		g.integers(o, prefix)
	case t.IsNumber():
		g.fractions(o, prefix)
	case t.IsString() || t.Kind == sqltypes.KBytea:
		g.length = int(o.Int(prefix+".length", 10, 0, 1<<20))
		g.fill = fillText
	case t.Kind == sqltypes.KArray:
		g.length = int(o.Int(prefix+".length", 3, 0, 1<<16))
		g.elem = newGenerator(o, prefix+"._", &catalog.Column{Name: col.Name + "._", Type: t.ElemType()}, s)
		g.fill = fillArray
	case t.Kind == sqltypes.KRecord && t.HasFields():
		for _, f := range t.Fields() {
			g.fields = append(g.fields, newGenerator(o, prefix+"."+f.Name, &catalog.Column{Name: col.Name + "." + f.Name, Type: f.Type}, s))
		}
		g.fill = fillRecord
	default:
		g.others(o, prefix)
	}
	return g
}

// sequence counts from start to end; the source ends with its shortest sequence.
func (g *generator) sequence(o *option.Set, prefix string) {
	if !g.typ.IsNumber() {
		o.Fail("%s.kind = 'sequence' needs a column of a number type, not %s", prefix, g.typ)
		g.fill = fillNull
		return
	}
	lo, hi := bounds(g.typ)
	g.low = o.Int(prefix+".start", 1, lo, hi)
	end := o.Int(prefix+".end", hi, lo, hi)
	if end < g.low {
		o.Fail("option \"%s.end\" is below \"%s.start\"", prefix, prefix)
	}
	if n := uint64(end - g.low); n < forever {
		g.limit = int64(n) + 1
	}
	g.fill = fillSequence
}

// bounds is the range of an integer type; other number types count within 2⁵³.
func bounds(t sqltypes.Type) (lo, hi int64) {
	switch t.Kind {
	case sqltypes.KInt2:
		return math.MinInt16, math.MaxInt16
	case sqltypes.KInt4:
		return math.MinInt32, math.MaxInt32
	case sqltypes.KInt8:
		return math.MinInt64, math.MaxInt64
	case sqltypes.KOid:
		return 0, math.MaxUint32
	}
	return -1 << 53, 1 << 53
}

func (g *generator) integers(o *option.Set, prefix string) {
	lo, hi := bounds(g.typ)
	g.low = o.Int(prefix+".min", 0, lo, hi)
	g.high = o.Int(prefix+".max", max(hi, g.low), lo, hi)
	if g.high < g.low {
		o.Fail("option \"%s.max\" is below \"%s.min\"", prefix, prefix)
	}
	g.fill = fillInt
}

func (g *generator) fractions(o *option.Set, prefix string) {
	g.fmin = o.Float(prefix+".min", 0, -math.MaxFloat64, math.MaxFloat64)
	g.fmax = o.Float(prefix+".max", max(1000, g.fmin), -math.MaxFloat64, math.MaxFloat64)
	if g.fmax < g.fmin {
		o.Fail("option \"%s.max\" is below \"%s.min\"", prefix, prefix)
	}
	g.fill = fillFloat
	if g.typ.Kind == sqltypes.KNumeric {
		g.fill = fillNumeric
	}
}

// others are the types without numbers: truth values, dates and times, uuid, json.
func (g *generator) others(o *option.Set, prefix string) {
	switch g.typ.Kind {
	case sqltypes.KBool:
		g.fill = fillBool
	case sqltypes.KDate, sqltypes.KTimestamp, sqltypes.KTimestamptz:
		g.past = o.Duration(prefix+".max_past", 24*time.Hour, 0, math.MaxInt64, time.Second).Microseconds()
		o.Enum(prefix+".max_past_mode", "absolute", "absolute", "relative")
		g.fill = fillStamp
	case sqltypes.KTime:
		g.fill = fillTime
	case sqltypes.KInterval:
		g.fill = fillInterval
	case sqltypes.KUUID:
		g.fill = fillUUID
	case sqltypes.KJSON, sqltypes.KJSONB:
		g.fill = fillJSON
	default:
		o.Fail("connector \"datagen\" cannot make values of type %s", g.typ)
		g.fill = fillNull
	}
}
