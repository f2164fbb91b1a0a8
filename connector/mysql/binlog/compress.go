package binlog

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// longest bounds what decompression may yield for one event or value, in bytes: max_allowed_packet's own bound.
const longest = 1 << 30

// inflateMaria undoes the compression of a part of a MariaDB event: a byte with the algorithm and the size of the length, the length (most
// significant byte first), and a zlib stream.
func inflateMaria(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errShort
	}
	if alg := b[0] >> 4 & 7; b[0]&0x80 == 0 || alg != 0 {
		return nil, fmt.Errorf("compression %#x", b[0])
	}
	size := int(b[0] & 7)
	if len(b) < 1+size {
		return nil, errShort
	}
	z, err := zlib.NewReader(bytes.NewReader(b[1+size:]))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return inflateTo(z, big(b[1:1+size]))
}

// inflateTo reads all of r, which must have n bytes.
func inflateTo(r io.Reader, n uint64) ([]byte, error) {
	if n > longest {
		return nil, fmt.Errorf("decompress: %d bytes", n)
	}
	var out bytes.Buffer // grows with what is really there: n is not to be trusted
	got, err := io.Copy(&out, io.LimitReader(r, int64(n)+1))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if uint64(got) != n {
		return nil, fmt.Errorf("decompress: %d bytes where %d were expected", got, n)
	}
	return out.Bytes(), nil
}

// InflateColumn undoes the compression of a value of a COMPRESSED column of MariaDB: a byte with the method, whether the stream is
// without zlib's frame, and the size of the length; the length; the stream. Method 0: the value follows as it is.
func InflateColumn(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return b, nil
	}
	method, framed, size := b[0]>>4, b[0]&8 == 0, int(b[0]&7)
	if method == 0 {
		return b[1:], nil
	}
	if method != 8 {
		return nil, fmt.Errorf("a compressed column's method %d", method)
	}
	if len(b) < 1+size {
		return nil, errShort
	}
	n, stream := big(b[1:1+size]), bytes.NewReader(b[1+size:])
	if !framed {
		return inflateTo(flate.NewReader(stream), n)
	}
	z, err := zlib.NewReader(stream)
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return inflateTo(z, n)
}

// Payload is a whole transaction of MySQL, compressed into one event.
type Payload struct {
	r     *bufio.Reader
	z     *zstd.Decoder
	event []byte
}

// The fields of a TypePayload.
const (
	payloadEnd         = 0
	payloadSize        = 1
	payloadCompression = 2
	payloadUnpacked    = 3
)

// ReadPayload starts reading the events in a TypePayload. Close it.
func ReadPayload(e Event) (*Payload, error) {
	b := e.Body
	compression, size := uint64(255), uint64(0)
	for {
		kind, rest, ok := number(b)
		if !ok {
			return nil, errShort
		}
		if b = rest; kind == payloadEnd {
			break
		}
		value, rest, ok := text(b)
		if !ok {
			return nil, errShort
		}
		b = rest
		v, _, ok := number(value)
		if !ok {
			return nil, errShort
		}
		switch kind {
		case payloadCompression:
			compression = v
		case payloadSize:
			size = v
		case payloadUnpacked: // what comes out says it
		}
	}
	if size != uint64(len(b)) {
		return nil, fmt.Errorf("a compressed transaction of %d bytes says that it has %d", len(b), size)
	}
	switch compression {
	case 255:
		return &Payload{r: bufio.NewReader(bytes.NewReader(b))}, nil
	case 0:
		z, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<30))
		if err != nil {
			return nil, fmt.Errorf("decompress transaction: %w", err)
		}
		return &Payload{r: bufio.NewReaderSize(z, 64<<10), z: z}, nil
	}
	return nil, fmt.Errorf("a transaction compressed with method %d", compression)
}

// Next returns the next event, valid until the following call; io.EOF after the last. Events inside have no checksum, and positions of no meaning.
func (p *Payload) Next() (Event, error) {
	head, err := p.r.Peek(headerSize)
	if err != nil {
		if len(head) == 0 && errors.Is(err, io.EOF) {
			return Event{}, io.EOF
		}
		return Event{}, fmt.Errorf("decompress transaction: %w", noEOF(err))
	}
	n := binary.LittleEndian.Uint32(head[9:])
	if n < headerSize || n > longest {
		return Event{}, fmt.Errorf("an event of %d bytes in a compressed transaction", n)
	}
	var b bytes.Buffer
	b.Grow(int(min(n, 1<<20)))
	if _, err := io.CopyN(&b, p.r, int64(n)); err != nil {
		return Event{}, fmt.Errorf("decompress transaction: %w", noEOF(err))
	}
	p.event = b.Bytes()
	return header(p.event)
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Close frees the decompressor.
func (p *Payload) Close() {
	if p.z != nil {
		p.z.Close()
	}
}
