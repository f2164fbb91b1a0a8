package filesource

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// contents is a file's contents from front to back, read as if from anywhere: what was read lately is kept, and going back
// further begins anew. It serves what can only be streamed: objects of a bucket, and compressed files.
type contents struct {
	open  func(from int64) (io.ReadCloser, error)
	r     io.ReadCloser // nil: not begun
	start int64         // position of buf[0]
	buf   []byte
	err   error // with which r ended
}

// readAt is io.ReaderAt's ReadAt.
func (c *contents) readAt(p []byte, at int64) (int, error) {
	if c.r == nil || at < c.start || at > c.start+int64(len(c.buf)) {
		c.close()
		r, err := c.open(at)
		if err != nil {
			return 0, err
		}
		c.r, c.start, c.buf, c.err = r, at, c.buf[:0], nil
	}
	if skip := at - c.start; skip > 0 {
		c.buf = c.buf[:copy(c.buf, c.buf[skip:])]
		c.start = at
	}
	for len(c.buf) < len(p) && c.err == nil {
		if free := len(p) - len(c.buf); cap(c.buf)-len(c.buf) < free {
			c.buf = append(make([]byte, 0, len(p)), c.buf...)
		}
		n, err := c.r.Read(c.buf[len(c.buf):len(p)])
		c.buf, c.err = c.buf[:len(c.buf)+n], err
	}
	n := copy(p, c.buf)
	if n == len(p) {
		return n, nil
	}
	return n, c.err
}

func (c *contents) close() {
	if c.r != nil {
		_ = c.r.Close()
		c.r = nil
	}
}

// decompressed opens a compressed file and skips to a position in its contents.
func decompressed(ctx context.Context, s Store, name, how string, from int64) (io.ReadCloser, error) {
	raw, err := s.Stream(ctx, name, 0)
	if err != nil {
		return nil, err
	}
	z := &unzip{raw: raw}
	if how == "gzip" {
		g, gerr := gzip.NewReader(raw)
		z.Reader, err = g, gerr
	} else {
		d, derr := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1))
		if z.Reader, err = d, derr; err == nil {
			z.zstd = d
		}
	}
	if err == nil {
		_, err = io.CopyN(io.Discard, z.Reader, from)
	}
	if err != nil {
		_ = z.Close()
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return z, nil
}

// unzip reads from a decompressor.
type unzip struct {
	io.Reader
	raw  io.Closer
	zstd *zstd.Decoder
}

// Close implements io.Closer.
func (z *unzip) Close() error {
	if z.zstd != nil {
		z.zstd.Close()
	}
	return z.raw.Close()
}
