package codec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/connector/registry"
	"github.com/millrace/millrace/internal/sqlerr"
)

// protoFile is a file of Protobuf's with all that it imports.
type protoFile struct {
	desc  protoreflect.FileDescriptor
	types *protoregistry.Types // of the file and all that it imports, for Any
}

// compileProto links a file; sources maps the paths of imports, and name itself, to what they hold.
func compileProto(ctx context.Context, name string, resolver protocompile.Resolver) (*protoFile, error) {
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(resolver), MaxParallelism: 1}
	files, err := c.Compile(ctx, name)
	if err != nil {
		return nil, sqlerr.New(sqlerr.InvalidTextRepresentation, "Protobuf schema is not valid").WithDetail("%v", err).WithCause(err)
	}
	f := &protoFile{files[0], &protoregistry.Types{}}
	return f, f.addTypes(files[0], map[string]bool{})
}

// addTypes makes the messages of a file and of its imports known.
func (f *protoFile) addTypes(file protoreflect.FileDescriptor, seen map[string]bool) error {
	if seen[file.Path()] {
		return nil
	}
	seen[file.Path()] = true
	for _, m := range allMessages(file.Messages(), nil) {
		if err := f.types.RegisterMessage(dynamicpb.NewMessageType(m)); err != nil {
			return sqlerr.New(sqlerr.InvalidTextRepresentation, "Protobuf schema is not valid").WithDetail("%v", err).WithCause(err)
		}
	}
	for i := range file.Imports().Len() {
		if err := f.addTypes(file.Imports().Get(i).FileDescriptor, seen); err != nil {
			return err
		}
	}
	return nil
}

// registeredProto links a schema of a registry's.
func registeredProto(ctx context.Context, s *registry.Schema) (*protoFile, error) {
	if s.Kind != "PROTOBUF" {
		return nil, sqlerr.New(sqlerr.DatatypeMismatch, "schema %d is of type %s, not PROTOBUF", s.ID, s.Kind)
	}
	const self = "schema.proto"
	sources := map[string]string{}
	for _, r := range s.References {
		sources[r.Name] = r.Text
	}
	sources[self] = s.Text
	return compileProto(ctx, self, &protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(sources)})
}

// maxSchemaBytes bounds a schema that is fetched.
const maxSchemaBytes = 64 << 20

// locatedProto reads a schema from a file (file:///path, /path) or an address (http, https): a .proto, whose imports
// are looked for beside it and above it, or a compiled FileDescriptorSet.
func locatedProto(ctx context.Context, location, message string) (*protoFile, error) {
	u, err := url.Parse(location)
	if err != nil {
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "option \"schema.location\" must be an address such as file:///path, not %q", location)
	}
	switch u.Scheme {
	case "file", "":
		if !filepath.IsAbs(u.Path) {
			return nil, sqlerr.New(sqlerr.InvalidParameterValue, "option \"schema.location\" must name an absolute path, not %q", location)
		}
		b, err := os.ReadFile(u.Path)
		if err != nil {
			return nil, sqlerr.New(sqlerr.InvalidParameterValue, "option \"schema.location\" names the file %q, which cannot be read", u.Path).WithDetail("%v", err).WithCause(err)
		}
		return parseProtoFile(ctx, b, filepath.Base(u.Path), message, besideFile(filepath.Dir(u.Path)))
	case "http", "https":
		b, err := fetchSchema(ctx, location)
		if err != nil {
			return nil, err
		}
		return parseProtoFile(ctx, b, "schema.proto", message, func(path string) (io.ReadCloser, error) {
			b, err := fetchSchema(ctx, u.JoinPath("..", path).String())
			return io.NopCloser(bytes.NewReader(b)), err
		})
	}
	return nil, sqlerr.New(sqlerr.FeatureNotSupported, "schema.location with %s:// is not supported", u.Scheme).WithHint("Supported are: file, http, https.")
}

// besideFile finds imports in a folder, or else in those above it: an import names a path below some root.
func besideFile(dir string) func(string) (io.ReadCloser, error) {
	return func(path string) (io.ReadCloser, error) {
		if !filepath.IsLocal(filepath.FromSlash(path)) {
			return nil, fs.ErrNotExist
		}
		for d := dir; ; d = filepath.Dir(d) {
			f, err := os.Open(filepath.Join(d, filepath.FromSlash(path)))
			if err == nil || d == filepath.Dir(d) {
				return f, err
			}
		}
	}
}

func fetchSchema(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "option \"schema.location\" is not an address").WithCause(err)
	}
	client := http.Client{Timeout: fetchTimeout, Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, sqlerr.New(sqlerr.ConnectionFailure, "could not fetch the schema at %s", req.URL.Redacted()).WithDetail("%v", err).WithCause(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, sqlerr.New(sqlerr.UndefinedObject, "there is no schema at %s", req.URL.Redacted()).WithCause(fs.ErrNotExist)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, sqlerr.New(sqlerr.ConnectionFailure, "could not fetch the schema at %s: status %d", req.URL.Redacted(), resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxSchemaBytes))
	if err != nil {
		return nil, sqlerr.New(sqlerr.ConnectionFailure, "could not fetch the schema at %s", req.URL.Redacted()).WithDetail("%v", err).WithCause(err)
	}
	return b, nil
}

// parseProtoFile takes a schema as text, or as a FileDescriptorSet, of which it picks the file that has the message.
func parseProtoFile(ctx context.Context, b []byte, name, message string, open func(string) (io.ReadCloser, error)) (*protoFile, error) {
	var set descriptorpb.FileDescriptorSet
	if strings.HasSuffix(name, ".proto") && (proto.Unmarshal(b, &set) != nil || len(set.File) == 0 || set.File[0].GetName() == "") {
		return compileProto(ctx, name, &protocompile.SourceResolver{Accessor: func(path string) (io.ReadCloser, error) {
			if path == name {
				return io.NopCloser(bytes.NewReader(b)), nil
			}
			return open(path)
		}})
	}
	set.Reset()
	if err := proto.Unmarshal(b, &set); err != nil || len(set.File) == 0 {
		return nil, sqlerr.New(sqlerr.InvalidTextRepresentation, "schema.location holds neither a .proto file nor a FileDescriptorSet")
	}
	from := protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) {
		for _, f := range set.File {
			if f.GetName() == path {
				return protocompile.SearchResult{Proto: f}, nil
			}
		}
		return protocompile.SearchResult{}, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	})
	var first *protoFile
	var errs []error
	for i := len(set.File) - 1; i >= 0; i-- { // imports come before those who need them
		f, err := compileProto(ctx, set.File[i].GetName(), from)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if _, err := f.message(message); err == nil {
			return f, nil
		}
		if first == nil {
			first = f
		}
	}
	if first == nil {
		return nil, errors.Join(errs...)
	}
	return first, nil
}

// message finds a message by its full name, or by its name alone; "" is the file's first.
func (f *protoFile) message(name string) (protoreflect.MessageDescriptor, error) {
	all := allMessages(f.desc.Messages(), nil)
	if name == "" && len(all) > 0 {
		return all[0], nil
	}
	var names []string
	for _, m := range all {
		if string(m.FullName()) == name {
			return m, nil
		}
		names = append(names, string(m.FullName()))
	}
	for _, m := range all {
		if string(m.Name()) == name {
			return m, nil
		}
	}
	if t, err := f.types.FindMessageByName(protoreflect.FullName(name)); err == nil { // of a file that is imported
		return t.Descriptor(), nil
	}
	return nil, option.Unknown(sqlerr.UndefinedObject, "Protobuf message", name, names)
}

func allMessages(list protoreflect.MessageDescriptors, out []protoreflect.MessageDescriptor) []protoreflect.MessageDescriptor {
	for i := range list.Len() {
		m := list.Get(i)
		if m.IsMapEntry() {
			continue
		}
		out = append(out, m)
	}
	for i := range list.Len() {
		out = allMessages(list.Get(i).Messages(), out)
	}
	return out
}

// at finds the message that a record's indexes name: of the file, then within that message, and so on.
func (f *protoFile) at(path []int) (protoreflect.MessageDescriptor, error) {
	list := f.desc.Messages()
	var m protoreflect.MessageDescriptor
	for _, i := range path {
		if i < 0 || i >= list.Len() {
			return nil, sqlerr.New(sqlerr.InvalidBinaryRepresentation, "record names message %v, which its schema does not have", path)
		}
		m = list.Get(i)
		list = m.Messages()
	}
	return m, nil
}
