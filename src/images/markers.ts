/** Names with which a layer deletes entries of layers below (layer.md of the image specification, "Whiteouts"). */
export const WHITEOUT_PREFIX = ".wh.";
export const OPAQUE_MARKER = ".wh..wh..opq";
/** aufs kept its own files under such names */
export const AUFS_PREFIX = ".wh..wh.";
/** its files are contents for hard links elsewhere in the layer */
export const AUFS_LINKS = ".wh..wh.plnk";
