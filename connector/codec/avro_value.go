package codec

import (
	"encoding/binary"
	"math"
	"math/big"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// append reads a value and appends it to v. After an error v may hold bytes without a row; see Rows.rollback.
func (n *avroNode) append(r *avroReader, v *delta.Vec) error {
	switch n.op {
	case avroToNull:
		v.AppendNull()
	case avroToBool:
		b, err := r.boolean()
		if err != nil {
			return err
		}
		v.AppendBool(b)
	case avroToInt:
		x, err := r.long()
		if err != nil {
			return err
		}
		if x < n.low || x > n.top {
			return sqlerr.New(sqlerr.NumericValueOutOfRange, "value \"%d\" is out of range for type %s", x, n.typ)
		}
		v.AppendInt(x)
	case avroToScaled:
		x, err := n.scaled(r)
		if err != nil {
			return err
		}
		v.AppendInt(x)
	case avroToText:
		b, err := n.raw(r)
		if err != nil {
			return err
		}
		if err := checkText(b); err != nil {
			return err
		}
		v.AppendBytes(b)
	case avroToBytea:
		b, err := n.raw(r)
		if err != nil {
			return err
		}
		v.AppendBytes(b)
	case avroToOption:
		k, err := r.branch(len(n.schema.union))
		if err != nil {
			return err
		}
		if k != n.null {
			return n.elem.append(r, v)
		}
		v.AppendNull()
	default:
		return n.appendSlow(r, v)
	}
	if n.typ.Mod != 0 && n.op != avroToNull && n.op != avroToOption {
		return applyTypmod(v, n.typ)
	}
	return nil
}

func (n *avroNode) appendSlow(r *avroReader, v *delta.Vec) error {
	var err error
	switch n.op {
	case avroToFloat:
		var f float64
		if f, err = n.number(r); err == nil {
			if n.typ.Kind == sqltypes.KFloat4 {
				f = float64(float32(f))
			}
			v.AppendFloat(f)
		}
	case avroToNumeric:
		err = n.appendNumeric(r, v)
	case avroToSpan:
		var x int64
		if x, err = n.scaled(r); err == nil {
			appendCount(v, x)
		}
	case avroToDecimal:
		var b []byte
		if b, err = n.raw(r); err == nil {
			v.AppendDec(twosComplement(b, n.schema.scale))
		}
	case avroToVariable:
		err = n.appendVariable(r, v)
	case avroToUUID:
		var b []byte
		if b, err = r.take(16); err == nil {
			v.AppendBytes(b)
		}
	case avroToInterval:
		err = n.appendInterval(r, v)
	case avroToParsed:
		var b []byte
		if b, err = r.bytes(); err == nil {
			return sqlio.AppendParsed(v, b, n.settings) // the modifier included
		}
	case avroToLabel:
		var s string
		if s, err = r.symbol(n.schema.symbols); err == nil {
			return sqlio.AppendParsed(v, []byte(s), n.settings)
		}
	case avroToPrinted:
		return n.appendPrinted(r, v)
	case avroToJSONText:
		var b []byte
		if b, err = r.bytes(); err == nil {
			if string(b) == unavailable {
				b = unavailableJSON[0]
			}
			return appendRaw(v, b, nil)
		}
	case avroToJSON:
		var b jsonb.Builder
		b.Reset()
		if err = appendAvroJSON(&b, r, n.schema, n.settings, 0); err == nil {
			v.Data = b.AppendTo(v.Data)
			v.EndRow()
		}
		return err
	case avroToUnion:
		return n.appendUnion(r, v)
	case avroToArray:
		return n.appendArray(r, v)
	case avroToMap:
		return n.appendMap(r, v)
	case avroToRecord:
		return n.appendRecord(r, v)
	}
	if err == nil && n.typ.Mod != 0 {
		return applyTypmod(v, n.typ)
	}
	return err
}

// raw reads the bytes of a string, bytes or fixed.
func (n *avroNode) raw(r *avroReader) ([]byte, error) {
	if n.schema.kind == avroFixed {
		return r.take(int64(n.schema.size))
	}
	return r.bytes()
}

// scaled reads a count of a logical type's units.
func (n *avroNode) scaled(r *avroReader) (int64, error) {
	x, err := r.long()
	if err != nil {
		return 0, err
	}
	return n.rescale(x)
}

// rescale turns a count of units into what the column counts.
func (n *avroNode) rescale(x int64) (int64, error) {
	if n.mul > 1 && (x > math.MaxInt64/n.mul || x < math.MinInt64/n.mul) {
		return 0, n.outOfRange(x)
	}
	y := x * n.mul
	if n.div > 1 {
		y = floorDivide(y, n.div)
	}
	if n.op == avroToSpan {
		return y, nil
	}
	if y < math.MinInt64+n.bias {
		return 0, n.outOfRange(x)
	}
	if y -= n.bias; y < n.low || y > n.top {
		return 0, n.outOfRange(x)
	}
	return y, nil
}

// appendCount appends what rescale returned.
func appendCount(v *delta.Vec, x int64) {
	if v.Type.Kind == sqltypes.KInterval {
		v.AppendInterval(datetime.Interval{Micros: x})
		return
	}
	v.AppendInt(x)
}

func floorDivide(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func (n *avroNode) outOfRange(x int64) error {
	return sqlerr.New(sqlerr.DatetimeFieldOverflow, "date/time field value out of range: \"%d\"", x)
}

// number reads any of the four numbers.
func (n *avroNode) number(r *avroReader) (float64, error) {
	switch n.schema.kind {
	case avroFloat:
		return r.float()
	case avroDouble:
		return r.double()
	}
	x, err := r.long()
	return float64(x), err
}

func (n *avroNode) appendNumeric(r *avroReader, v *delta.Vec) error {
	if n.schema.kind == avroInt || n.schema.kind == avroLong {
		x, err := r.long()
		if err == nil {
			v.AppendDec(numeric.FromInt64(x))
		}
		return err
	}
	f, err := n.number(r)
	if err != nil {
		return err
	}
	t := sqltypes.Float8
	if n.schema.kind == avroFloat {
		t = sqltypes.Float4
	}
	n.buf = sqlio.AppendTextDatum(n.buf[:0], t, f, n.settings)
	d, err := numeric.ParseBytes(n.buf)
	if err == nil {
		v.AppendDec(d)
	}
	return err
}

// twosComplement makes a decimal of big-endian bytes.
func twosComplement(b []byte, scale int) numeric.Dec {
	if len(b) <= 8 {
		var x int64
		if len(b) > 0 && b[0] >= 0x80 {
			x = -1
		}
		for _, c := range b {
			x = x<<8 | int64(c)
		}
		return numeric.FromScaled(x, int32(scale))
	}
	x := new(big.Int).SetBytes(b)
	if b[0] >= 0x80 {
		x.Sub(x, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return numeric.FromBig(x, int32(scale))
}

// maxDecimalScale is numeric's: digits behind the point.
const maxDecimalScale = 16383

func (n *avroNode) appendVariable(r *avroReader, v *delta.Vec) error {
	scale, err := r.long()
	if err != nil {
		return err
	}
	b, err := r.bytes()
	if err != nil {
		return err
	}
	if scale < 0 || scale > maxDecimalScale {
		return sqlerr.New(sqlerr.NumericValueOutOfRange, "decimal has %d digits behind its point", scale)
	}
	v.AppendDec(twosComplement(b, int(scale)))
	return nil
}

func (n *avroNode) appendInterval(r *avroReader, v *delta.Vec) error {
	b, err := r.take(12)
	if err != nil {
		return err
	}
	months, days, millis := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])
	if months > math.MaxInt32 || days > math.MaxInt32 {
		return sqlerr.New(sqlerr.IntervalFieldOverflow, "interval out of range")
	}
	v.AppendInterval(datetime.Interval{Months: int32(months), Days: int32(days), Micros: int64(millis) * 1000})
	return nil
}

func (n *avroNode) appendPrinted(r *avroReader, v *delta.Vec) error {
	truncate(n.items, 0)
	if err := n.elem.append(r, n.items); err != nil {
		return err
	}
	n.buf = appendCastText(n.buf[:0], n.items, n.settings)
	return sqlio.AppendParsed(v, n.buf, n.settings)
}

func (n *avroNode) appendUnion(r *avroReader, v *delta.Vec) error {
	k, err := r.branch(len(n.parts))
	if err != nil {
		return err
	}
	p := &n.parts[k]
	switch {
	case p.schema.kind == avroNull:
		v.AppendNull()
		return nil
	case p.node == nil:
		return avroMismatch(p.schema, n.typ)
	case p.at < 0:
		return p.node.append(r, v)
	}
	values := make([]sqltypes.Datum, len(n.fields))
	truncate(n.fields[p.at], 0)
	if err := p.node.append(r, n.fields[p.at]); err != nil {
		return err
	}
	values[p.at] = n.fields[p.at].Datum(0)
	v.AppendBytes(sqlio.EncodeRecord(n.typ, values))
	return nil
}

func (n *avroNode) appendArray(r *avroReader, v *delta.Vec) error {
	items := n.items
	truncate(items, 0)
	if err := r.each(func() error { return n.elem.append(r, items) }); err != nil {
		return err
	}
	elems := make([]sqltypes.Datum, items.Len())
	for i := range elems {
		elems[i] = items.Datum(i)
	}
	if items.Type == n.typ && len(elems) > 0 { // of arrays
		b, err := sqlio.StackArrays(n.typ, elems)
		if err == nil {
			v.AppendBytes(b)
		}
		return err
	}
	v.AppendBytes(sqlio.MakeArray(n.typ, elems))
	return nil
}

func (n *avroNode) appendMap(r *avroReader, v *delta.Vec) error {
	truncate(n.keys, 0)
	truncate(n.items, 0)
	err := r.each(func() error {
		k, err := r.bytes()
		if err != nil {
			return err
		}
		if err := checkText(k); err != nil {
			return err
		}
		n.keys.AppendBytes(k)
		return n.elem.append(r, n.items)
	})
	if err != nil {
		return err
	}
	b, err := makeMap(n.typ, n.keys, n.items)
	if err == nil {
		v.AppendBytes(b)
	}
	return err
}

// makeMap encodes a map; of a key that is there twice the last value counts.
func makeMap(t sqltypes.Type, keyVec, valueVec *delta.Vec) ([]byte, error) {
	at := make(map[string]int, keyVec.Len())
	var keys, values []sqltypes.Datum
	for i := range keyVec.Len() {
		k := keyVec.Datum(i)
		text := string(sqlio.AppendImage(nil, keyVec.Type, k))
		if j, ok := at[text]; ok {
			values[j] = valueVec.Datum(i)
			continue
		}
		at[text] = len(keys)
		keys, values = append(keys, k), append(values, valueVec.Datum(i))
	}
	return sqlio.MakeMap(t, keys, values)
}

func (n *avroNode) appendRecord(r *avroReader, v *delta.Vec) error {
	values := make([]sqltypes.Datum, len(n.fields))
	for i := range n.parts {
		p := &n.parts[i]
		if p.node == nil {
			if err := r.skip(p.schema, 0); err != nil {
				return err
			}
			continue
		}
		truncate(n.fields[p.at], 0)
		if err := p.node.append(r, n.fields[p.at]); err != nil {
			return err
		}
		values[p.at] = n.fields[p.at].Datum(0)
	}
	v.AppendBytes(sqlio.EncodeRecord(n.typ, values))
	return nil
}
