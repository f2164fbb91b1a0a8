package s3

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// connection is where a bucket is, and who we are there.
type connection struct {
	bucket, path, endpoint, region string
	access, secret, token          string
	pathStyle                      bool
}

// parseConnection reads the options that source and sink share.
func parseConnection(o *option.Set) *connection {
	c := &connection{
		bucket:   o.Required("s3.bucket_name", "s3.bucket"),
		path:     strings.Trim(o.String("s3.path", ""), "/"),
		region:   o.String("s3.region_name", "us-east-1", "s3.region"),
		endpoint: o.String("s3.endpoint_url", "", "s3.endpoint"),
		access:   o.String("s3.credentials.access", "", "s3.access_key"),
		secret:   o.String("s3.credentials.secret", "", "s3.secret_key"),
		token:    o.String("s3.credentials.session_token", ""),
	}
	c.pathStyle = o.Bool("enable_path_style", o.Bool("s3.path_style", c.endpoint != ""))
	if (c.access == "") != (c.secret == "") {
		o.Fail("options \"s3.credentials.access\" and \"s3.credentials.secret\" belong together; without both the bucket is read as anybody")
	}
	if c.endpoint == "" {
		c.endpoint = "https://s3." + c.region + ".amazonaws.com"
	}
	if !strings.Contains(c.endpoint, "://") {
		c.endpoint = "https://" + c.endpoint
	}
	if u, err := url.Parse(c.endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
		o.Fail("option \"s3.endpoint_url\" must be an address such as http://127.0.0.1:9000, not %q", c.endpoint)
	}
	return c
}

// client returns a client; it has not spoken to the server yet.
func (c *connection) client() (*minio.Core, error) {
	u, err := url.Parse(c.endpoint)
	if err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupAuto
	if c.pathStyle {
		lookup = minio.BucketLookupPath
	}
	return minio.NewCore(u.Host, &minio.Options{Creds: credentials.NewStaticV4(c.access, c.secret, c.token), Secure: u.Scheme == "https",
		Region: c.region, BucketLookup: lookup, MaxRetries: 3})
}

// key is the name in the bucket of a path below ours.
func (c *connection) key(name string) string {
	if c.path == "" {
		return name
	}
	return c.path + "/" + name
}

// checkWithin bounds the wait for an answer at CREATE.
const checkWithin = 10 * time.Second

// check asks for the bucket: 08006 when nobody answers, 42501 when we may not see it, 42704 when it is not there.
func (c *connection) check(ctx context.Context, client *minio.Core) error {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	for o := range client.Client.ListObjects(ctx, c.bucket, minio.ListObjectsOptions{Prefix: c.key(""), MaxKeys: 1}) {
		return c.explain("list", c.path, o.Err)
	}
	if ctx.Err() != nil {
		return c.explain("list", c.path, fmt.Errorf("no answer within %v", checkWithin))
	}
	return nil
}

// explain words an error of the server, or its absence.
func (c *connection) explain(what, name string, err error) error {
	if err == nil {
		return nil
	}
	r := minio.ToErrorResponse(err)
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case r.Code == "InvalidBucketName":
		return sqlerr.New(sqlerr.InvalidParameterValue, "%q is no name of a bucket: %s", c.bucket, r.Message).WithCause(err)
	case r.Code == "NoSuchBucket":
		return sqlerr.New(sqlerr.UndefinedObject, "bucket %q does not exist at %s", c.bucket, c.endpoint).WithCause(err).
			WithHint("Create it, or check the options s3.bucket_name, s3.region_name and s3.endpoint_url.")
	case r.StatusCode == 403:
		return sqlerr.New(sqlerr.InsufficientPrivilege, "the credentials may not %s %q in bucket %q at %s", what, name, c.bucket, c.endpoint).WithCause(err).
			WithDetail("%s: %s", r.Code, r.Message).WithHint("Check s3.credentials.access and s3.credentials.secret, and the bucket's policy.")
	case r.StatusCode >= 400 && r.Code != "":
		return sqlerr.New(sqlerr.IOError, "could not %s %q in bucket %q at %s", what, name, c.bucket, c.endpoint).WithDetail("%s: %s", r.Code, r.Message).WithCause(err)
	}
	return sqlerr.New(sqlerr.ConnectionFailure, "could not %s %q in bucket %q at %s", what, name, c.bucket, c.endpoint).WithDetail("%v", err).WithCause(err)
}
