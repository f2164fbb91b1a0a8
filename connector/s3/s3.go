// Package s3 reads objects of a bucket as a source, and writes objects into one as a sink. Any server that speaks S3's
// protocol will do.
//
// The idea of the sink is that of connector/filesink. A staged file is a multipart upload, of which nobody sees anything
// until it is completed; the record names the uploads and their parts, and completing them is what publishes them.
//
// The idea of the source is that of connector/filesource: a split is an object, named by its path below s3.path. Objects
// do not change; one that has been read to its end is not asked for again, which its offset remembers.
//
// A Reader and a Writer belong to one goroutine each, except Close.
//
// It does not decode, and keeps no state of ours (storage/object does). Start at Sink and Source.
package s3
