// Package imports brings recipients in from CSV files and workbooks.
//
// An import goes through four steps. The file is uploaded to a signed URL, or handed
// over by the program; [Importer.Process] reads and checks it into staging;
// [Importer.Preview] says what a commit would do; [Importer.Commit] does it:
//
//	imp, err := importer.CreateFromReader(ctx, "people.csv", file)
//	imp, err = importer.Process(ctx, imp.ID, imports.ProcessOptions{})
//	// ... runner.Watch(ctx, bulk.RunID(imp.ID)) until it is done
//	preview, err := importer.Preview(ctx, imp.ID)
//	imp, err = importer.Commit(ctx, imp.ID)
//
// What a column is, Process finds out by its name and its values, or is told by
// [ProcessOptions]: columns are mapped to the core columns and custom fields, joined, split, given
// the same value in all rows, or made into new fields. How dates and numbers are written is
// decided once for a column and shown; what stays open is a [Warning] of the preview.
//
// A column may also be one of an extension of recipients that this process has, such as
// "sms.phone": it enrolls the recipient in the product, or changes what it names of what the product
// has of them. The extension's own rules make the values what is stored, and say what is wrong with a
// row, before the preview: by itself first, so that it must be complete also where the recipient is
// enrolled, as with "sms.phone" beside "sms.optedOutAt"; and once more with what the product has of
// the recipient, so that an old file takes back no opt-out. A row whose cells for an extension are all empty, beside
// which constants do not count, says nothing of it. With FillEmpty only those are enrolled who are
// not yet. Processes that work on an import have to have the extensions of its file.
//
// Every row of the file gets a verdict: new, update, unchanged, duplicate of a later row
// with the same address, or invalid with everything that is wrong with it. The numbers
// always add up; a constraint of the database holds a finished import to that.
//
// # Files
//
// A CSV file may be in any common encoding, with , ; tab or | between cells and any ends of
// lines, packed by gzip or alone in a zip file. A workbook is XLSX or XLSM. How a file is
// written is found out by looking at its first mebibyte, told by [Import.Format], and can be
// said by [ProcessOptions]; [Importer.Process] may be called again with others until the
// commit. What is wrong with the whole file is a [FileError]; what is wrong with a record
// costs that record: characters that cannot be decoded, quotes that do not match, more or
// fewer cells than the header has, more than a mebibyte, cells of a workbook with an error.
// Nothing is replaced or passed over silently but blank lines and what comes before the
// header. A file that is not CSV in UTF-8 is copied as that, beside it in the bucket, while it
// is read.
//
// What is committed is what was previewed: the file's size and ETag, which every write changes, are
// those that it had when reading began, or the import is refused. By its SHA-256 a file that the
// domain has imported before is known again, which is a warning of the preview.
//
// Reading and committing are runs (package bulk): each batch is one transaction with its
// place in the file, so that a process can die anywhere and another goes on exactly
// there. The room that new recipients take in the plan is reserved before the first is
// written and given back if it is not used.
//
// # Corrections
//
// Rows that cannot be imported come as a file ([Importer.WriteErrorReport]), which can be corrected,
// uploaded and merged into the same import, before the commit or after it:
//
//	report, err := importer.CreateFromReader(ctx, "errors.csv", corrected)
//	report, err = importer.Correct(ctx, report.ID, imp.ID, imports.CorrectOptions{})
//	// ... until the report is Merged; then the import has a preview again, and a commit
//
// # Undo
//
// A commit keeps what it changes (Config.UndoFor), so that [Importer.Undo] can take it back in
// a run of its own:
//
//	imp, err = importer.Undo(ctx, imp.ID)
//
// Recipients that were inserted are removed as if they had never been; those that were updated
// get their name, status, with its reason and time, and custom fields of before, and what products
// had of them: who was enrolled by the import is withdrawn. Versions and updatedAt go on: a client
// that holds a version never finds another content under it. A recipient that was edited since,
// itself or in one of these products, stays as it is, as a whole, and is listed by
// [Importer.WriteUndoReport].
package imports
