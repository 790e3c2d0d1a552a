//! Saving a snapshot to a file.

use super::Snapshot;
use super::partial::Partial;
use crate::Error;
use crate::blocking::blocking;
use crate::runtime::{BoxFuture, Runtime};
use bytes::Bytes;
use etcd3_core::Version;
use etcd3_core::error::{Cause, ErrorKind};
use etcd3_core::snapshot::SnapshotProgress;
use std::fmt;
use std::future::IntoFuture;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many bytes are gathered before they are written, so that a file of gigabytes takes few
/// system calls, and few threads one after the other.
const WRITE_BYTES: usize = 1 << 20;

type OnProgress = Box<dyn FnMut(SnapshotProgress) + Send>;

/// Saves a snapshot to a file, by awaiting it; made by [`Snapshot::save`].
///
/// The bytes go to a file of its own beside the target, which only its owner can read. When all
/// have come, and the digest at their end is right, the file is written to disk and takes the name
/// of the target, in place of a file that has it. So a file under that name is always whole.
///
/// Writing blocks, so it is done on threads of its own, by
/// [`run_blocking`](crate::runtime::Runtime::run_blocking) of the runtime. At most about a megabyte
/// waits for the disk; the server is held back meanwhile.
///
/// # Errors
///
/// Those of the [stream](Snapshot), and kind [`File`](ErrorKind::File) when the file cannot be
/// written: `StorageFull` where the disk is full. The temporary file is removed then, and a file
/// that had the name of the target is as it was, unless all that failed is to put the new name on
/// disk.
///
/// # Cancel safety
///
/// Dropping the future ends the call and removes the temporary file, when what is being written at
/// that moment is. If it is dropped while the whole file takes its name, it may be there.
///
/// # Examples
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("etcd3-save-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("backup.db");
/// # etcd3_sim::example(|client| async move {
/// let saved = client
///     .maintenance()
///     .snapshot()
///     .save(&path)
///     .on_progress(|progress| println!("{} bytes to come", progress.remaining))
///     .await?;
/// assert_eq!(std::fs::metadata(&path)?.len(), saved.size);
/// # Ok(())
/// # });
/// # std::fs::remove_dir_all(&folder).unwrap();
/// ```
#[must_use = "nothing is saved until it is awaited"]
pub struct SaveSnapshot {
    snapshot: Snapshot,
    path: PathBuf,
    on_progress: Option<OnProgress>,
}

/// A snapshot that was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavedSnapshot {
    /// The length of the file, in bytes.
    pub size: u64,
    /// The version of the storage, as [`Snapshot::version`] returns it.
    pub version: Option<Version>,
}

impl SaveSnapshot {
    pub(super) fn new(snapshot: Snapshot, path: PathBuf) -> Self {
        Self { snapshot, path, on_progress: None }
    }

    /// Sets what is called whenever bytes have come. It must not block.
    pub fn on_progress(
        mut self,
        on_progress: impl FnMut(SnapshotProgress) + Send + 'static,
    ) -> Self {
        self.on_progress = Some(Box::new(on_progress));
        self
    }

    async fn run(mut self) -> Result<SavedSnapshot, Error> {
        let runtime = Arc::clone(self.snapshot.client.runtime());
        let mut writer = Writer::begin(runtime, self.path).await?;
        while let Some(bytes) = self.snapshot.next().await {
            writer.write(bytes?).await?;
            if let Some(on_progress) = &mut self.on_progress {
                on_progress(self.snapshot.progress());
            }
        }
        let size = writer.finish().await?;
        Ok(SavedSnapshot { size, version: self.snapshot.version() })
    }
}

impl IntoFuture for SaveSnapshot {
    type Output = Result<SavedSnapshot, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for SaveSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaveSnapshot").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Writes to a file from async code.
struct Writer {
    runtime: Arc<dyn Runtime>,
    path: PathBuf,
    /// On its way to a thread and back while it is written.
    partial: Option<Partial>,
    waiting: Vec<Bytes>,
    /// How many bytes wait, and how many were written.
    len: usize,
    size: u64,
    /// Held until the file may no more take its name.
    is_wanted: Arc<()>,
}

impl Writer {
    async fn begin(runtime: Arc<dyn Runtime>, path: PathBuf) -> Result<Self, Error> {
        let is_wanted = Arc::new(());
        let (seed, target, wanted) = (runtime.seed(), path.clone(), Arc::downgrade(&is_wanted));
        let created = blocking(&*runtime, move || Partial::create(target, seed, wanted))
            .await
            .and_then(|created| created);
        let partial = Some(created.map_err(|error| at(&path, &error))?);
        Ok(Self { runtime, path, partial, waiting: Vec::new(), len: 0, size: 0, is_wanted })
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.len += bytes.len();
        self.waiting.push(bytes);
        if self.len < WRITE_BYTES {
            return Ok(());
        }
        self.with_file(|partial, bytes| partial.write(&bytes)).await
    }

    /// Writes the rest, and gives the file its name; returns its length.
    async fn finish(mut self) -> Result<u64, Error> {
        self.with_file(|partial, bytes| partial.write(&bytes).and_then(|()| partial.commit()))
            .await?;
        drop(self.is_wanted);
        Ok(self.size)
    }

    /// Does something with the file and the bytes that wait, where blocking does no harm.
    async fn with_file(
        &mut self,
        act: impl FnOnce(&mut Partial, Vec<Bytes>) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Error> {
        let bytes = std::mem::take(&mut self.waiting);
        self.size += u64::try_from(std::mem::take(&mut self.len)).unwrap_or(u64::MAX);
        let Some(mut partial) = self.partial.take() else { return Ok(()) };
        let acted = blocking(&*self.runtime, move || {
            let done = act(&mut partial, bytes);
            done.map(|()| partial)
        });
        let partial = acted.await.and_then(|done| done).map_err(|error| at(&self.path, &error))?;
        self.partial = Some(partial);
        Ok(())
    }
}

/// Makes the error of a file that cannot be written.
fn at(path: &Path, error: &io::Error) -> Error {
    let kind = error.kind();
    let cause = io::Error::new(kind, format!("{}: {error}", path.display()));
    Error::new(ErrorKind::File(kind)).with_cause(Cause::new(cause))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::still::Still;
    use futures_lite::future::block_on;

    // Writing to this device says that there is no space left.
    #[test]
    fn a_full_disk_is_told_and_no_file_is_left() {
        let folder = std::env::temp_dir().join(format!("etcd3-full-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let target = folder.join("backup.db");
        let begun = Writer::begin(Arc::new(Still::default()), target.clone());
        let mut writer = block_on(begun).expect("a file");
        if let Some(partial) = &mut writer.partial {
            partial.file =
                std::fs::File::options().write(true).open("/dev/full").expect("a device");
        }
        let written = async {
            for _ in 0..3 {
                writer.write(Bytes::from(vec![7; WRITE_BYTES / 2])).await?;
            }
            writer.finish().await
        };
        let error = block_on(written).expect_err("no space");
        assert_eq!(error.kind(), ErrorKind::File(io::ErrorKind::StorageFull), "{error:?}");
        assert!(error.report().to_string().contains("backup.db"), "{error:?}");
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0);
        std::fs::remove_dir(&folder).expect("nothing is left");
    }

    // The bytes are on disk, and nobody waits for the file any more.
    #[test]
    fn a_file_that_nobody_wants_does_not_take_its_name() {
        let target = std::env::temp_dir().join(format!("etcd3-unwanted-{}", std::process::id()));
        let begun = Writer::begin(Arc::new(Still::default()), target.clone());
        let mut writer = block_on(begun).expect("a file");
        let mut partial = writer.partial.take().expect("a file");
        drop(writer);
        let error = partial.commit().expect_err("unwanted");
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        drop(partial);
        assert!(!target.exists());
    }
}
