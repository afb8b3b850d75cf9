// Package exports writes the recipients of a domain that match a filter into a file: CSV,
// XLSX or JSON lines. A file as CSV can be imported again (package imports), and nothing has
// changed then.
//
// What is small is answered at once. What is larger becomes a run (package bulk), which writes
// the file into a bucket, from where it is fetched by a signed URL until its time is over. Each
// file is one statement's view of the recipients: all of them as they were at one moment. It is
// streamed from PostgreSQL to the bucket, whatever its size, and nobody sees it before it is
// whole.
//
// The copy of all that is known of one person, for that person, is another thing:
// recipients.Store.Export.
package exports
