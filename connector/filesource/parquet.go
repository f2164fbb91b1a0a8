package filesource

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/internal/sqlerr"
)

var parquetMagic = []byte("PAR1")

// openParquet opens a file that has both its ends, and reads a first batch. One that has not is being written.
func (r *Reader) openParquet(ctx context.Context, f *input, st Info) (*connector.Batch, error) {
	file, err := r.store.Open(r.life, f.name)
	if err != nil {
		return nil, ioError(f, err)
	}
	size := st.Size
	if !complete(file, size) {
		f.size = size
		if f.sealed {
			f.next, f.gone = done, true
			return r.batch(f, &connector.Batch{EndOfTxn: true, Errors: []connector.RecordError{{Split: f.name, Offset: "0",
				Err: sqlerr.New(sqlerr.DataCorrupted, "file %q is no Parquet file", f.name)}}}, size, 0), file.Close()
		}
		return nil, file.Close()
	}
	p, err := codec.NewParquetReader(ctx, file, r.spec, f.next)
	if err != nil {
		file.Close()
		var mismatch *sqlerr.Error
		if errors.As(err, &mismatch) {
			return nil, err
		}
		f.gone = true // a damaged file must not keep the others from being read
		if f.sealed {
			f.next = done
		}
		return r.batch(f, &connector.Batch{EndOfTxn: true, Errors: []connector.RecordError{{
			Split: f.name, Offset: strconv.FormatInt(f.next, 10), Err: err,
		}}}, -1, f.next), nil
	}
	f.file, f.parquet, f.size = file, p, size
	return r.readParquet(f)
}

// complete reports whether a file begins and ends as Parquet files do.
func complete(file File, size int64) bool {
	var head, tail [4]byte
	if size < 12 {
		return false
	}
	_, err := file.ReadAt(head[:], 0)
	_, err2 := file.ReadAt(tail[:], size-4)
	return err == nil && err2 == nil && bytes.Equal(head[:], parquetMagic) && bytes.Equal(tail[:], parquetMagic)
}

func (r *Reader) readParquet(f *input) (*connector.Batch, error) {
	b := &connector.Batch{EndOfTxn: true}
	start := f.next
	err := f.parquet.Read(&codec.Record{File: f.name}, r.rows, func(row int64, err error) {
		b.Errors = append(b.Errors, connector.RecordError{Split: f.name, Offset: strconv.FormatInt(row, 10), Err: err})
	})
	if err != nil {
		cerr := f.closeParquet()
		if errors.Is(err, io.EOF) {
			if !f.sealed {
				return nil, cerr
			}
			f.next, f.gone = done, true
			return r.batch(f, b, 0, start), cerr
		}
		f.size = -1
		return nil, ioError(f, err)
	}
	f.next = f.parquet.Row()
	return r.batch(f, b, f.parquet.Rows(), start), nil
}

func (f *input) closeParquet() error {
	if f.parquet == nil {
		return nil
	}
	f.parquet.Close()
	err := f.file.Close()
	f.parquet, f.file = nil, nil
	return err
}
