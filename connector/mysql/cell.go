package mysql

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strconv"

	"github.com/millrace/millrace/connector/mysql/binlog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/sqltypes"
)

// appender appends a value that is not NULL, of the log or of a query's result, to a column here.
type appender func(v *delta.Vec, b []byte) error

// cellAppender makes the appender for cells of the log. cs is that of texts and labels' column.
func cellAppender(c *column, b *binlog.Column, cs *charset, zero zeroPolicy) appender {
	switch c.family() {
	case famInt:
		return intCell(c, b)
	case famBit:
		return func(v *delta.Vec, b []byte) error {
			x := uint64(0)
			for _, y := range b {
				x = x<<8 | uint64(y)
			}
			return putUint(v, x)
		}
	case famDecimal:
		precision, scale := b.Size, b.Scale
		return func(v *delta.Vec, b []byte) error {
			d, err := binlog.Decimal(b, precision, scale)
			if err != nil {
				return err
			}
			return putDec(v, d)
		}
	case famFloat:
		return func(v *delta.Vec, b []byte) error {
			v.AppendFloat(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
			return nil
		}
	case famDouble:
		return func(v *delta.Vec, b []byte) error {
			v.AppendFloat(math.Float64frombits(binary.LittleEndian.Uint64(b)))
			return nil
		}
	case famDate, famDatetime, famTimestamp, famTime:
		return timeCell(b, zero)
	case famText:
		return textCell(c, cs)
	case famEnum:
		return enumCell(c.labels)
	case famSet:
		return setCell(c.labels)
	case famBytes:
		return bytesCell(c)
	case famJSON:
		return jsonCell()
	case famUUID:
		return func(v *delta.Vec, b []byte) error {
			var u [16]byte
			copy(u[:], b) // the log leaves out the zeros at the end
			return putUUID(v, u[:])
		}
	case famInet6, famInet4:
		return inetCell(netSizes[c.base])
	}
	return func(*delta.Vec, []byte) error { return fmt.Errorf("a column of type %s cannot be captured", c.Decl) }
}

func intCell(c *column, b *binlog.Column) appender {
	if b.Kind == binlog.KindYear {
		return func(v *delta.Vec, b []byte) error {
			if b[0] == 0 {
				return putInt(v, 0)
			}
			return putInt(v, 1900+int64(b[0]))
		}
	}
	if c.unsigned {
		return func(v *delta.Vec, b []byte) error { return putUint(v, littleEndian(b)) }
	}
	return func(v *delta.Vec, b []byte) error {
		shift := 64 - 8*len(b)
		return putInt(v, int64(littleEndian(b)<<shift)>>shift)
	}
}

func littleEndian(b []byte) (v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v
}

func timeCell(b *binlog.Column, zero zeroPolicy) appender {
	digits := b.Size
	moment := func(read func([]byte) (binlog.Moment, error)) appender {
		return func(v *delta.Vec, b []byte) error {
			m, err := read(b)
			if err != nil {
				return err
			}
			return putMoment(v, m, zero)
		}
	}
	span := func(read func([]byte) (binlog.Span, error)) appender {
		return func(v *delta.Vec, b []byte) error {
			s, err := read(b)
			if err != nil {
				return err
			}
			return putSpan(v, s)
		}
	}
	switch b.Kind {
	case binlog.KindDatetime2:
		return moment(func(b []byte) (binlog.Moment, error) { return binlog.Datetime(b, digits) })
	case binlog.KindDatetime:
		return moment(binlog.OldDatetime)
	case binlog.KindTime2:
		return span(func(b []byte) (binlog.Span, error) { return binlog.Time(b, digits) })
	case binlog.KindTime:
		return span(binlog.OldTime)
	case binlog.KindTimestamp2:
		return func(v *delta.Vec, b []byte) error {
			t, err := binlog.Timestamp(b, digits)
			if err != nil {
				return err
			}
			return putUnix(v, t, zero)
		}
	case binlog.KindTimestamp:
		return func(v *delta.Vec, b []byte) error { return putUnix(v, int64(littleEndian(b))*1e6, zero) }
	}
	return moment(binlog.Date)
}

func textCell(c *column, cs *charset) appender {
	plain := func(v *delta.Vec, b []byte) (err error) {
		if v.Type.Kind == sqltypes.KJSONB || v.Type.Kind == sqltypes.KJSON {
			text, err := cs.appendUTF8(nil, b)
			if err != nil {
				return err
			}
			return putJSONText(v, text)
		}
		if v.Data, err = cs.appendUTF8(v.Data, b); err != nil {
			return err
		}
		v.EndRow()
		return nil
	}
	if !c.compressed {
		return plain
	}
	return func(v *delta.Vec, b []byte) error {
		b, err := binlog.InflateColumn(b)
		if err != nil {
			return err
		}
		return plain(v, b)
	}
}

// enumCell: the number of the label, from 1; 0 is the empty text that stands for a wrong value.
func enumCell(labels []string) appender {
	return func(v *delta.Vec, b []byte) error {
		n := littleEndian(b)
		switch {
		case n == 0:
			v.AppendString("")
		case n <= uint64(len(labels)):
			v.AppendString(labels[n-1])
		default:
			return fmt.Errorf("label %d of an enum that has %d", n, len(labels))
		}
		return nil
	}
}

// setCell: a bit for each label.
func setCell(labels []string) appender {
	return func(v *delta.Vec, b []byte) error {
		set := littleEndian(b)
		if bits.Len64(set) > len(labels) {
			return fmt.Errorf("label %d of a set that has %d", bits.Len64(set), len(labels))
		}
		first := true
		for ; set != 0; set &= set - 1 {
			if !first {
				v.Data = append(v.Data, ',')
			}
			first = false
			v.Data = append(v.Data, labels[bits.TrailingZeros64(set)]...)
		}
		v.EndRow()
		return nil
	}
}

// bytesCell: the log leaves out the zeros at the end of a BINARY.
func bytesCell(c *column) appender {
	if c.base == "binary" {
		size := c.arg(0, 1)
		return func(v *delta.Vec, b []byte) error {
			v.Data = append(v.Data, b...)
			for n := len(b); n < size; n++ {
				v.Data = append(v.Data, 0)
			}
			v.EndRow()
			return nil
		}
	}
	if c.compressed {
		return func(v *delta.Vec, b []byte) error {
			b, err := binlog.InflateColumn(b)
			if err != nil {
				return err
			}
			v.AppendBytes(b)
			return nil
		}
	}
	return func(v *delta.Vec, b []byte) error { v.AppendBytes(b); return nil }
}

func jsonCell() appender {
	build := &jsonb.Builder{}
	return func(v *delta.Vec, b []byte) error {
		build.Reset()
		if err := binlog.AppendJSON(build, b); err != nil {
			return err
		}
		if v.Type.Kind == sqltypes.KJSONB {
			v.Data = build.AppendTo(v.Data)
		} else {
			v.Data = jsonb.AppendText(v.Data, build.Bytes())
		}
		v.EndRow()
		return nil
	}
}

// inetCell: an address, without the zeros at its end.
func inetCell(size int) appender {
	return func(v *delta.Vec, b []byte) error {
		full := make([]byte, size)
		copy(full, b)
		v.Data = appendInet(v.Data, full)
		v.EndRow()
		return nil
	}
}

// appendInet prints an address as MariaDB does: of INET6 the longest run of zeros, also of one, is left out, and what holds an
// IPv4 address ends with that.
func appendInet(dst, a []byte) []byte {
	if len(a) == 4 {
		return fmt.Appendf(dst, "%d.%d.%d.%d", a[0], a[1], a[2], a[3])
	}
	var words [8]uint16
	for i := range words {
		words[i] = binary.BigEndian.Uint16(a[2*i:])
	}
	start, n := 8, 0
	for i := 0; i < 8; i++ {
		j := i
		for j < 8 && words[j] == 0 {
			j++
		}
		if j-i > n {
			start, n = i, j-i
		}
		i = j
	}
	dotted := start == 0 && (n == 6 || n == 5 && words[5] == 0xffff)
	for i := 0; i < 8; i++ {
		switch {
		case i == start:
			dst = append(dst, ':')
			if i == 0 {
				dst = append(dst, ':')
			}
			i += n - 1
			continue
		case i == 6 && dotted:
			return appendInet(dst, a[12:])
		}
		dst = strconv.AppendUint(dst, uint64(words[i]), 16)
		if i < 7 {
			dst = append(dst, ':')
		}
	}
	return dst
}
