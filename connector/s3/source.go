package s3

import (
	"context"
	"io"
	"io/fs"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/filesource"
	"github.com/millrace/millrace/connector/option"
)

// Source implements connector.Source.
type Source struct{}

func parseSource(spec *connector.SourceSpec) (*objects, *filesource.Options, error) {
	o := option.New(option.Connector("s3"), spec.Connector.Options)
	b := &objects{bucket{connection: parseConnection(o)}}
	c := filesource.Parse(o, spec, "s3")
	if err := o.Done(); err != nil {
		return nil, nil, err
	}
	var err error
	b.client, err = b.connection.client()
	return b, c, err
}

// Validate implements connector.Source.
func (Source) Validate(ctx context.Context, spec *connector.SourceSpec) (connector.Facts, error) {
	b, _, err := parseSource(spec)
	if err != nil {
		return connector.Facts{}, err
	}
	facts, err := filesource.Check(spec)
	if err != nil {
		return connector.Facts{}, err
	}
	return facts, b.check(ctx, b.client)
}

// Splits implements connector.Source: the objects that match now.
func (Source) Splits(ctx context.Context, spec *connector.SourceSpec) ([]string, error) {
	b, c, err := parseSource(spec)
	if err != nil {
		return nil, err
	}
	return c.Splits(ctx, b)
}

// Open implements connector.Source.
func (Source) Open(_ context.Context, spec *connector.SourceSpec, splits []connector.SplitOffset) (connector.Reader, error) {
	b, c, err := parseSource(spec)
	if err != nil {
		return nil, err
	}
	return filesource.Open(spec, c, b, splits)
}

// objects implements filesource.Store: the objects below a path.
type objects struct{ bucket }

// List implements filesource.Store.
func (b *objects) List(ctx context.Context, f func(name string)) error {
	ctx, cancel := context.WithCancel(ctx) // ends the listing when we do
	defer cancel()
	top := b.key("")
	for o := range b.client.Client.ListObjects(ctx, b.bucket.bucket, minio.ListObjectsOptions{Prefix: top, Recursive: true}) {
		if o.Err != nil {
			return b.explain("list", top, o.Err)
		}
		if name := strings.TrimPrefix(o.Key, top); name != "" && !strings.HasSuffix(name, "/") { // a name with a slash at its end stands for a folder
			f(name)
		}
	}
	return ctx.Err()
}

// Stat implements filesource.Store.
func (b *objects) Stat(ctx context.Context, name string) (filesource.Info, error) {
	st, err := b.client.StatObject(ctx, b.bucket.bucket, b.key(name), minio.StatObjectOptions{})
	if err != nil {
		return filesource.Info{}, b.gone(name, err)
	}
	return filesource.Info{Size: st.Size, ModTime: st.LastModified}, nil
}

func (b *objects) gone(name string, err error) error {
	if minio.ToErrorResponse(err).Code == "NoSuchKey" {
		return fs.ErrNotExist
	}
	return b.explain("read", name, err)
}

// Open implements filesource.Store.
func (b *objects) Open(ctx context.Context, name string) (filesource.File, error) {
	o, err := b.client.Client.GetObject(ctx, b.bucket.bucket, b.key(name), minio.GetObjectOptions{})
	if err != nil {
		return nil, b.gone(name, err)
	}
	return o, nil
}

// Stream implements filesource.Store.
func (b *objects) Stream(ctx context.Context, name string, from int64) (io.ReadCloser, error) {
	var o minio.GetObjectOptions
	if from > 0 {
		if err := o.SetRange(from, 0); err != nil {
			return nil, err
		}
	}
	body, _, _, err := b.client.GetObject(ctx, b.bucket.bucket, b.key(name), o)
	if minio.ToErrorResponse(err).Code == "InvalidRange" { // behind the end
		return io.NopCloser(strings.NewReader("")), nil
	}
	if err != nil {
		return nil, b.gone(name, err)
	}
	return body, nil
}

// Grows implements filesource.Store.
func (*objects) Grows() bool { return false }
